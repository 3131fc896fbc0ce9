"""Schemas from empty to head, by plain SQL."""

from libs.common.migrations.runner import MigrationChangedError, migrate, migration_files, provision, service_folder

__all__ = ["MigrationChangedError", "migrate", "migration_files", "provision", "service_folder"]

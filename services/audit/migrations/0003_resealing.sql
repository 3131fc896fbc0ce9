-- A signing key may be sealed anew under a fresh data key.
GRANT UPDATE (sealed) ON signing_key TO audit_signer;

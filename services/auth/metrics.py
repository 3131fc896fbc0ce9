from prometheus_client import Counter

LOGINS = Counter("regent_auth_logins_total", "Ways in that were tried", ["method", "outcome"])

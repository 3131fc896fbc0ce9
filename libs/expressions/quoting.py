def quote_identifier(name: str) -> str:
    """Return `name` as a quoted SQL identifier; ValueError if it is empty or holds a NUL or a lone surrogate."""
    if not name:
        raise ValueError("an identifier must not be empty")
    _refuse_unstorable(name)
    return '"' + name.replace('"', '""') + '"'


def quote_literal(text: str) -> str:
    """Return `text` as an SQL string literal; ValueError if it holds a NUL or a lone surrogate."""
    _refuse_unstorable(text)
    return "'" + text.replace("'", "''") + "'"


def without_nul(sql: str) -> str:
    """Return SQL of a text with U+2400, the sign for it, in place of each NUL, which no database of ours keeps."""
    return f"replace({sql}, chr(0), '\u2400')"


def _refuse_unstorable(text: str) -> None:
    if "\0" in text or any("\ud800" <= char <= "\udfff" for char in text):
        raise ValueError("text must not hold NUL characters or lone surrogates")

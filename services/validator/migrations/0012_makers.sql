-- Who is behind a proposal: the person and what they used. None of them may approve it.
ALTER TABLE decision ADD COLUMN makers text[] NOT NULL DEFAULT '{}';

-- A projection of a few thousand rows, whatever the number of events: how many there are in each quarter of an hour. `by_slot` holds a row for
-- each name and source as well, of which a question of all events reads all. Older parts get it behind; until then they are counted without.
ALTER TABLE events ADD PROJECTION IF NOT EXISTS by_time (SELECT project, mode, slot, count() GROUP BY project, mode, slot);
ALTER TABLE events MATERIALIZE PROJECTION by_time SETTINGS mutations_sync = 0

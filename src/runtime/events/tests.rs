//! Names, notes and requests of Events.

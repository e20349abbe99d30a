//! Arguments, wiring, output for people.

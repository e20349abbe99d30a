//! The loop that makes the broker right: watch, plan, act, status.

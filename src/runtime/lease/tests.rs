//! Tables and properties of the election.

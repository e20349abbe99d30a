//! The Pact Broker's HTTP API as typed calls.

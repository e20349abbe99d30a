//! The operator's promises, one file per promise, each tested against the real program where possible.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_in_result,
    reason = "a test that cannot go on says so; clippy.toml excuses only functions marked as tests, not what they call"
)]

mod broker_faults;
mod broker_replay;
mod broker_replay_matrix;
mod broker_replay_server;
mod broker_tls;
mod broker_under_test;
mod certificates;
mod chart;
mod chart_first_contact;
mod chart_rights;
mod chart_rights_tried;
mod chart_secrets;
mod chart_self_test;
mod chart_uninstall;
mod check;
mod check_worlds;
mod cluster_name;
mod crd_validation;
#[path = "../simulation/dice.rs"]
mod dice;
mod endurance;
mod endurance_api_server;
mod endurance_kills;
mod endurance_outage;
mod endurance_stopped;
mod endurance_truth;
mod etcd_restore;
mod events;
mod gate_audit;
mod gate_bad_input;
mod gate_busy_broker;
mod gate_bypass;
mod gate_calls;
mod gate_calls_random;
mod gate_connections;
mod gate_connections_attack;
mod gate_corpus;
mod gate_down;
mod gate_false_yes;
mod gate_faults;
mod gate_flagger;
mod gate_helm;
mod gate_identity;
mod gate_live_set;
mod gate_modes;
mod gate_names;
mod gate_not_read;
mod gate_owners;
mod gate_people;
mod gate_policy;
mod gate_race;
mod gate_replicas;
mod gate_replicas_drain;
mod gate_replicas_setup;
mod gate_replicas_startup;
mod gate_rotation;
mod gate_setup;
mod gate_storm;
mod gate_strangers;
mod gate_unclear;
mod gate_way_back;
mod gate_worlds;
mod gate_worlds_oracle;
mod kinds;
mod kinds_gate;
mod kinds_setup;
mod lease;
mod matrix_page;
mod objects;
mod pact_cli;
mod people_verbs;
mod planted_tokens;
mod recorder_adoption;
mod recorder_asserts;
mod recorder_bad_input;
mod recorder_crash;
mod recorder_drift;
mod recorder_groups;
mod recorder_identity;
mod recorder_leaders;
mod recorder_limit;
mod recorder_mapping;
mod recorder_missing;
mod recorder_outage;
mod recorder_owners;
mod recorder_quiet;
mod recorder_releases;
mod recorder_removal;
mod recorder_removal_sure;
mod recorder_rollouts;
mod recorder_secrets;
mod recorder_templates;
mod recorder_votes;
mod standin_matrix;
mod standin_recordings;
mod standin_recordings_worlds;
mod standin_server;
mod testbed_selftest;
mod two_clusters;

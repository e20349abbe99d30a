//! Pure: a workload to its pacticipants, version and rollout state; a namespace to its environments.

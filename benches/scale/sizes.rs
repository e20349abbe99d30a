//! How much is measured.

/// The numbers of one run.
pub struct Sizes {
    /// Deployments, one in ten of them annotated.
    pub deployments: &'static [usize],
    /// One of them: as large as a large cluster is. The last of them is a very large one.
    pub large: usize,
    /// Deployments where something else grows.
    pub fixed: usize,
    /// Pacticipants that those name.
    pub pacticipants: &'static [usize],
    /// Environments to which those belong.
    pub environments: &'static [usize],
    /// Namespaces.
    pub namespaces: usize,
    /// Rollouts of which the median cost is taken.
    pub changes: usize,
    /// Starts of the large cluster of which the median is taken.
    pub starts: usize,
}

impl Sizes {
    /// What `benches/RESULTS.md` shows.
    pub fn full() -> Self {
        Self {
            deployments: &[100, 300, 1_000, 3_000, 10_000, 50_000],
            large: 10_000,
            fixed: 2_000,
            pacticipants: &[10, 40, 150, 600, 2_000],
            environments: &[1, 4, 15, 60, 200],
            namespaces: 200,
            changes: 5,
            starts: 3,
        }
    }

    /// Enough to see that the measurements work.
    pub fn quick() -> Self {
        Self {
            deployments: &[20, 60, 200],
            large: 60,
            fixed: 60,
            pacticipants: &[10, 60],
            environments: &[1, 10],
            namespaces: 20,
            changes: 2,
            starts: 1,
        }
    }
}

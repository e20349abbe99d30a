//! What is in the cluster: Deployments, the pacticipants that they name, and environments.

/// See the module. Deployment `n` is in namespace `n` modulo their number; those belong to the environments in turn.
pub struct World {
    /// How many Deployments there are.
    pub deployments: usize,
    /// How many environments there are.
    pub environments: usize,
    /// The number of the pacticipant that each Deployment names. The first Deployment, which is rolled out, is the only
    /// one that names its own.
    named: Box<dyn Fn(usize) -> Option<usize>>,
}

impl World {
    /// One in ten of the Deployments is annotated, of the first `of` of them; each with a pacticipant of its own.
    pub fn one_in_ten(deployments: usize, of: usize) -> Self {
        let named = move |number: usize| (number.is_multiple_of(10) && number < of).then_some(number / 10);
        Self { deployments, environments: 1, named: Box::new(named) }
    }

    /// All are annotated, each with a pacticipant of its own.
    pub fn all_annotated(deployments: usize) -> Self {
        Self { deployments, environments: 1, named: Box::new(Some) }
    }

    /// All are annotated, with so many pacticipants in turn.
    pub fn sharing(deployments: usize, pacticipants: usize) -> Self {
        let shared = pacticipants - 1;
        let named = move |number: usize| number.checked_sub(1).map_or(Some(0), |number| Some(1 + number % shared));
        Self { deployments, environments: 1, named: Box::new(named) }
    }

    /// The same in so many environments.
    pub fn environments(self, environments: usize) -> Self {
        Self { environments, ..self }
    }

    /// The number of the pacticipant that a Deployment names.
    pub fn pacticipant(&self, deployment: usize) -> Option<usize> {
        (self.named)(deployment)
    }
}

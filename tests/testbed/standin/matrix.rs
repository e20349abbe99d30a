//! `/matrix` and `/can-i-deploy`.

use super::answer::Answer;
use super::routes::Call;
use super::store::State;

pub(super) fn can_i_deploy(call: &Call<'_>, _state: &State) -> Answer {
    call.errors.not_found()
}

pub(super) fn matrix(call: &Call<'_>, _state: &State) -> Answer {
    call.errors.not_found()
}

//! Whose a row is, as the status says.

use super::{
    tests::{object, recorded, running},
    *,
};
use crate::decide::record::fixtures::{at, version};

#[test]
fn case_105_a_row_that_was_found_is_told_from_one_that_the_operator_wrote() {
    let found = |passes: &[RecordState], intended: &[&str]| {
        let members = running("1");
        let before = PactDeploymentStatus {
            intended: intended.iter().map(ToString::to_string).collect(),
            ..PactDeploymentStatus::default()
        };
        let mut object_before = object(before);
        for (second, state) in (1..).zip(passes) {
            object_before = object(status(Some(&object_before), &members, state, at(second)));
        }
        let status = object_before.status.unwrap();
        assert_eq!(status.intended, [""; 0], "what was intended is done");
        status.recorded.unwrap().found
    };
    let seen = || recorded("1", Write::None);
    let other_row = || RecordState::Recorded { version: version("1"), uuid: "another".into(), write: Write::None };
    for (what, passes, intended, expected) in [
        ("it was there", vec![seen()], &[][..], true),
        ("it was there, seen twice", vec![seen(), seen()], &[], true),
        ("it was written", vec![recorded("1", Write::First), seen()], &[], false),
        ("it was written, and the process ended right after", vec![seen()], &["1"], false),
        ("another version was intended", vec![seen()], &["2"], true),
        ("it was there, and then corrected", vec![seen(), recorded("1", Write::Correction)], &[], false),
        ("somebody else wrote it again", vec![recorded("1", Write::First), other_row()], &[], true),
    ] {
        assert_eq!(found(&passes, intended), expected, "{what}");
    }
}

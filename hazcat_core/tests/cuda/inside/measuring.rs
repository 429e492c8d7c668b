//! The program that measures (`examples/cuda_measure`), with small messages: it works, copies once, and finds no wrong byte.

use super::scene::Scene;

#[path = "../../../examples/cuda_measure/measure/mod.rs"]
mod measure;

#[test]
fn the_measurements_can_be_made() {
    let Some(scene) = Scene::new() else { return };
    let mut plan = measure::Plan::quick();
    plan.root = scene.root().to_owned();
    let name = format!("{}::child", module_path!().split_once("::").expect("in a crate").1);
    plan.arguments = [&name, "--exact", "--nocapture", "--test-threads=1"].map(str::to_owned).into();
    let report = measure::run(&plan).unwrap_or_else(|error| panic!("{error}"));
    // Speed is not what is tested.
    println!("{report}\nall goals met: {}", report.is_met());
    let (checked, wrong) = report.checked();
    assert_eq!((checked, wrong), (2 * 2 * 8 + 8 + 3 * 8, 0));
    assert!(report.to_string().contains("bytes there: median us"));
}

#[test]
fn child() {
    if let Some(ended) = measure::played_a_role() {
        ended.unwrap_or_else(|error| panic!("{error}"));
    }
}

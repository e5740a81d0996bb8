//! All executions of a model, and all deaths in it.

use crate::family::{self, Passages, Plan};
use crate::sys::atomic::{self, Unmade};
use loom::model::Builder;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Thread switches that no thread asked for, where nothing befalls anybody, and elsewhere. Two of the faults of
/// README.md are found with no less than 3; with 3 everywhere a run takes many times as long.
const PREEMPTIONS: [usize; 2] = [3, 2];
/// Operations of one execution: more are a loop without end.
const BRANCHES: usize = 10_000;
/// How many passages of each point the victim dies at: where no sleep ends early, and where one does.
const PASSAGES: [u32; 2] = [2, 1];

/// Run all executions of a model under one plan; returns what the victim passed.
fn explore(plan: Plan, model: impl Fn() + Clone + Send + Sync + 'static) -> Passages {
    atomic::forget_zeroed();
    family::most_passages();
    let executions = Arc::new(AtomicU64::new(0));
    loop {
        let mut builder = Builder::new();
        builder.max_branches = builder.max_branches.max(BRANCHES);
        builder.preemption_bound = builder
            .preemption_bound
            .or(Some(PREEMPTIONS[(plan != Plan::default()) as usize]));
        let (counted, model) = (executions.clone(), model.clone());
        let run = move || {
            counted.fetch_add(1, Relaxed);
            family::begin(plan);
            model();
        };
        match catch_unwind(AssertUnwindSafe(|| builder.check(run))) {
            Ok(()) => break,
            Err(cause) if cause.is::<Unmade>() => {}
            Err(cause) => {
                eprintln!("under {plan:?}, in execution {}", executions.load(Relaxed));
                resume_unwind(cause)
            }
        }
    }
    println!("{:>8} executions, {plan:?}", executions.load(Relaxed));
    family::most_passages()
}

/// Without a death no slice has to end: a wake-up that is missing is a deadlock. The same with a first sleep of each
/// thread that ends early. And both with the victim's death at each point that it passes.
pub fn with_deaths(model: impl Fn() + Clone + Send + Sync + 'static) {
    for (early, most) in PASSAGES.into_iter().enumerate() {
        let early = early as u32;
        let passages = explore(Plan { death: None, early }, model.clone());
        let deaths = passages
            .into_iter()
            .flat_map(|(point, n)| (1..=n.min(most)).map(move |k| (point, k)));
        for death in deaths {
            let plan = Plan {
                death: Some(death),
                early,
            };
            let passages = explore(plan, model.clone());
            let reached = passages.get(death.0) >= Some(&death.1);
            assert!(reached || death.1 > 1, "nobody died: {plan:?}"); // a second passage may want one switch more
        }
    }
}

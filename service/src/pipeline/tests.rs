//! What a task costs while it waits.

use std::collections::HashMap;

use super::*;
use crate::config::Settings;
use crate::flow::limits::ByteBudget;
use crate::image::Pool;
use crate::observe::health::Health;

/// Bytes of the state that the runtime keeps for each task; boxed stages come to it only while they last.
const TASK_BYTES_MAX: usize = 1_152;

fn pipeline() -> Pipeline {
    let given = [("S3_ACCESS", "who"), ("S3_SECRET", "secret"), ("S3_ENDPOINT", "http://127.0.0.1:9")];
    let given = given.map(|(name, text)| (name.into(), text.into()));
    let settings = Settings::load(given, &HashMap::new()).expect("they work together");
    let (health, metrics, budget) = (Health::default(), Metrics::unexported(), ByteBudget::new(1 << 20));
    let pool = Pool::new(&settings, budget.clone()).expect("decoders");
    Pipeline {
        workshop: Workshop::new(&settings, budget, pool, &health, metrics.clone()).expect("a workshop"),
        bench: Bench::new(&settings),
        producer: Producer::new(&settings, "1", metrics.clone()).expect("a producer"),
        broker_breaker: Breaker::new(Dependency::Kafka, health),
        metrics,
        topic: settings.kafka_input_topic.clone(),
        group: settings.kafka_consumer_group.clone(),
    }
}

#[test]
fn a_task_is_no_larger_than_what_it_needs_for_waiting() {
    let (pipeline, record) = (pipeline(), Delivery::stub(b"{}"));
    let bytes = size_of_val(&pipeline.run_task(&record));
    assert!(bytes <= TASK_BYTES_MAX, "{bytes}");
}

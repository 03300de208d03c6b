package io.imagepipeline.management.outcome;

import io.imagepipeline.management.observe.Names;
import io.micrometer.core.instrument.MeterRegistry;
import java.util.Locale;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.springframework.kafka.annotation.KafkaListener;
import org.springframework.stereotype.Component;

/**
 * Records of the outcomes' topic become outcomes in the database. What can't be read is logged, counted and passed over:
 * it would be no better the next time. A database that fails is thrown on, and the record comes again.
 */
@Component
class OutcomeListener {
    static final String ID = "outcomes";

    private static final Logger log = LoggerFactory.getLogger(OutcomeListener.class);

    private final OutcomeReader reader = new OutcomeReader();
    private final Outcomes outcomes;
    private final MeterRegistry metrics;

    OutcomeListener(Outcomes outcomes, MeterRegistry metrics) {
        this.outcomes = outcomes;
        this.metrics = metrics;
    }

    @KafkaListener(id = ID, idIsGroup = false, topics = "#{@settings.outputTopic()}")
    void onRecord(ConsumerRecord<byte[], byte[]> record) {
        Outcome outcome;
        try {
            outcome = reader.read(record.value());
        } catch (UnreadableOutcome unreadable) {
            count("unreadable");
            log.warn("no outcome at {}-{} offset {}: {}", record.topic(), record.partition(), record.offset(), unreadable.getMessage());
            return;
        }
        Outcomes.Effect effect = outcomes.record(outcome);
        count(effect.name().toLowerCase(Locale.ROOT));
        switch (effect) {
            case RECORDED -> log.info("task {} {}", outcome.correlationId(), outcome.isOk() ? "ok" : "failed: " + named(outcome.code()));
            case REPEAT -> log.debug("task {} keeps the outcome that it has", outcome.correlationId());
            case UNKNOWN -> log.warn("outcome at {}-{} offset {} is for task {}, which is not ours", record.topic(), record.partition(),
                    record.offset(), outcome.correlationId());
        }
    }

    /** Foreign text doesn't get into the log as it is. */
    private static String named(String code) {
        return code == null ? "no code" : code.replaceAll("[^A-Za-z0-9_.-]", "?");
    }

    private void count(String result) {
        metrics.counter(Names.OUTCOMES, "result", result).increment();
    }
}

package io.imagepipeline.management.outbox;

import io.imagepipeline.management.observe.Names;
import io.imagepipeline.management.observe.TraceParent;
import io.imagepipeline.management.settings.Settings;
import io.micrometer.core.instrument.Gauge;
import io.micrometer.core.instrument.MeterRegistry;
import io.opentelemetry.context.Scope;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.springframework.context.SmartLifecycle;
import org.springframework.core.NestedExceptionUtils;
import org.springframework.kafka.core.KafkaTemplate;
import org.springframework.stereotype.Component;

/**
 * Tasks in the database become records on the tasks' topic, at least once: a row is marked when the broker has
 * acknowledged its record, so a crash in between sends it again. One thread; requests never wait for it.
 */
@Component
public class Relay implements SmartLifecycle {
    private static final Logger log = LoggerFactory.getLogger(Relay.class);
    private static final int BATCH_MAX = 100;
    private static final Duration IDLE_MAX = Duration.ofSeconds(1);
    private static final Duration PAUSE_AFTER_FAILURE = Duration.ofSeconds(1);
    private static final Duration STOP_WAIT = Duration.ofSeconds(9);

    private final Outbox outbox;
    private final KafkaTemplate<String, byte[]> kafka;
    private final String topic;
    private final MeterRegistry metrics;
    private final Semaphore pokes = new Semaphore(0);
    private volatile Thread thread;
    private boolean complained;

    Relay(Outbox outbox, KafkaTemplate<String, byte[]> kafka, Settings settings, MeterRegistry metrics) {
        this.outbox = outbox;
        this.kafka = kafka;
        this.topic = settings.inputTopic();
        this.metrics = metrics;
        Gauge.builder(Names.OUTBOX_UNPUBLISHED, outbox, Outbox::size).register(metrics);
    }

    /** There is something to publish. Returns at once. */
    public void poke() {
        pokes.release();
    }

    private void run() {
        while (thread == Thread.currentThread()) {
            try {
                pokes.tryAcquire(IDLE_MAX.toMillis(), TimeUnit.MILLISECONDS);
                pokes.drainPermits();
                while (thread == Thread.currentThread() && publishBatch()) {
                    // as long as there are full batches
                }
            } catch (InterruptedException stopped) {
                return;
            } catch (ExecutionException | RuntimeException failure) {
                complain(failure);
                if (!pause()) {
                    return;
                }
            }
        }
    }

    /** @return whether there may be more to publish */
    private boolean publishBatch() throws InterruptedException, ExecutionException {
        List<Outbox.Entry> batch = outbox.next(BATCH_MAX);
        List<CompletableFuture<?>> sends = new ArrayList<>(batch.size());
        for (Outbox.Entry entry : batch) {
            CompletableFuture<?> send = send(entry);
            sends.add(send);
            if (send.isCompletedExceptionally()) {
                break; // no broker: every other would wait as long as this one did
            }
        }
        List<Long> acknowledged = new ArrayList<>(sends.size());
        ExecutionException failure = null;
        for (int i = 0; i < sends.size(); i++) {
            try {
                sends.get(i).get(); // bounded by the producer's delivery.timeout.ms
                acknowledged.add(batch.get(i).message().correlationId());
            } catch (ExecutionException notSent) {
                failure = notSent;
            }
        }
        outbox.published(acknowledged);
        if (failure != null) {
            throw failure;
        }
        if (complained) {
            log.info("tasks are published again");
            complained = false;
        }
        return batch.size() == BATCH_MAX;
    }

    /** Within the trace of the request that submitted the task, however long ago that was. */
    private CompletableFuture<?> send(Outbox.Entry entry) {
        try (Scope submitted = TraceParent.makeCurrent(entry.traceparent())) {
            return kafka.send(topic, entry.message().key(), entry.message().payload());
        } catch (RuntimeException failure) {
            return CompletableFuture.failedFuture(failure);
        }
    }

    private void complain(Exception failure) {
        metrics.counter(Names.RELAY_FAILURES).increment();
        if (!complained) {
            log.warn("tasks can't be published yet, trying again every second: {}", NestedExceptionUtils.getMostSpecificCause(failure).toString());
            complained = true;
        }
    }

    private boolean pause() {
        try {
            Thread.sleep(PAUSE_AFTER_FAILURE.toMillis());
            return true;
        } catch (InterruptedException stopped) {
            return false;
        }
    }

    @Override
    public void start() {
        thread = new Thread(this::run, "relay");
        thread.start();
    }

    /** Lets the batch at hand end: what the broker has acknowledged gets marked. */
    @Override
    public void stop() {
        Thread running = thread;
        thread = null;
        if (running == null) {
            return;
        }
        poke();
        try {
            running.join(STOP_WAIT.toMillis());
            running.interrupt();
        } catch (InterruptedException impatient) {
            Thread.currentThread().interrupt();
        }
    }

    @Override
    public boolean isRunning() {
        return thread != null;
    }

    /** Stops after the web server, which still accepts tasks while it drains. */
    @Override
    public int getPhase() {
        return 0;
    }
}

package io.imagepipeline.management.task;

import io.imagepipeline.management.observe.Names;
import io.imagepipeline.management.observe.TraceParent;
import io.imagepipeline.management.outbox.Relay;
import io.imagepipeline.management.settings.Settings;
import io.micrometer.core.instrument.MeterRegistry;
import java.security.SecureRandom;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.HexFormat;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.springframework.stereotype.Service;

/**
 * A URL becomes a task in the database, and no more: the relay sends it. So the answer waits for no broker, and what was
 * accepted outlives a crash of this process.
 */
@Service
public class Submission {
    private static final Logger log = LoggerFactory.getLogger(Submission.class);

    private final Tasks tasks;
    private final BlockedDomains blocked;
    private final Relay relay;
    private final MeterRegistry metrics;
    private final SecureRandom random = new SecureRandom();

    Submission(Tasks tasks, Settings settings, Relay relay, MeterRegistry metrics) {
        this.tasks = tasks;
        this.blocked = settings.blocked();
        this.relay = relay;
        this.metrics = metrics;
    }

    /**
     * @throws RefusedUrl    the URL can't be a task
     * @throws BlockedDomain its host is blocked
     */
    public Task submit(String owner, String given) {
        TaskUrl url = TaskUrl.parse(given);
        blocked.blocking(url.host()).ifPresent(domain -> {
            throw new BlockedDomain(url.host(), domain);
        });
        long id = tasks.nextId();
        String name = id + "-" + unguessable();
        Task task = new Task(id, owner, url.text(), "pictures/" + name, "thumbnails/" + name,
                Instant.now().truncatedTo(ChronoUnit.MILLIS), false, null);
        tasks.insert(task, TraceParent.current());
        relay.poke();
        metrics.counter(Names.TASKS_SUBMITTED).increment();
        log.info("task {} accepted from {}: {}", id, owner, TaskUrl.withoutQuery(task.url()));
        return task;
    }

    /**
     * Part of the object keys. The downloader trusts an original that is already stored, so a database that starts anew
     * over an old bucket, and with it at id 1, must not meet the keys of its predecessor.
     */
    private String unguessable() {
        byte[] bytes = new byte[8];
        random.nextBytes(bytes);
        return HexFormat.of().formatHex(bytes);
    }
}

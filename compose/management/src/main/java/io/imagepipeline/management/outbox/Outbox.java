package io.imagepipeline.management.outbox;

import java.time.Instant;
import java.time.ZoneOffset;
import java.time.temporal.ChronoUnit;
import java.util.List;
import org.springframework.jdbc.core.simple.JdbcClient;
import org.springframework.stereotype.Repository;

/** The table of tasks, as the relay sees it: what is not yet published. */
@Repository
class Outbox {
    /** @param traceparent of the request that submitted the task; null if that wasn't traced */
    record Entry(TaskMessage message, String traceparent) {}

    private final JdbcClient jdbc;

    Outbox(JdbcClient jdbc) {
        this.jdbc = jdbc;
    }

    /** Oldest first. A task with an outcome was evidently published, whether or not we lived to note it. */
    List<Entry> next(int limit) {
        return jdbc.sql("""
                        select id, url, original_key, thumbnail_key, traceparent from task
                        where published_at is null and res is null order by id limit :limit
                        """)
                .param("limit", limit)
                .query((row, number) -> new Entry(
                        new TaskMessage(row.getLong("id"), row.getString("url"), row.getString("original_key"), row.getString("thumbnail_key")),
                        row.getString("traceparent")))
                .list();
    }

    void published(List<Long> ids) {
        if (!ids.isEmpty()) {
            jdbc.sql("update task set published_at = :now where id in (:ids) and published_at is null")
                    .param("now", Instant.now().truncatedTo(ChronoUnit.MILLIS).atOffset(ZoneOffset.UTC))
                    .param("ids", ids)
                    .update();
        }
    }

    long size() {
        return jdbc.sql("select count(*) from task where published_at is null and res is null").query(Long.class).single();
    }
}

package io.imagepipeline.management.task;

import io.imagepipeline.management.outcome.Outcome;
import io.imagepipeline.management.settings.Disk;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.Instant;
import java.time.OffsetDateTime;
import java.time.ZoneOffset;
import java.util.List;
import java.util.Optional;
import org.springframework.jdbc.core.simple.JdbcClient;
import org.springframework.stereotype.Repository;

/** The table of tasks, as their owners see it. */
@Repository
public class Tasks {
    private final JdbcClient jdbc;
    private final Disk disk;

    Tasks(JdbcClient jdbc, Disk disk) {
        this.jdbc = jdbc;
        this.disk = disk;
    }

    /** Never the same twice, also across restarts; ids of submissions that failed are skipped. */
    long nextId() {
        return jdbc.sql("select next value for correlation_id").query(Long.class).single();
    }

    /** When this returns, the task is on the disk. */
    void insert(Task task, String traceparent) {
        jdbc.sql("""
                        insert into task (id, owner, url, original_key, thumbnail_key, submitted_at, traceparent)
                        values (:id, :owner, :url, :originalKey, :thumbnailKey, :submittedAt, :traceparent)
                        """)
                .param("id", task.id())
                .param("owner", task.owner())
                .param("url", task.url())
                .param("originalKey", task.originalKey())
                .param("thumbnailKey", task.thumbnailKey())
                .param("submittedAt", task.submittedAt().atOffset(ZoneOffset.UTC))
                .param("traceparent", traceparent)
                .update();
        disk.sync();
    }

    /** Another owner's task is as unknown as one that doesn't exist. */
    public Optional<Task> find(String owner, long id) {
        return jdbc.sql("select * from task where owner = :owner and id = :id")
                .param("owner", owner)
                .param("id", id)
                .query(Tasks::task)
                .optional();
    }

    /** Newest first, ids below {@code before}. */
    public List<Task> list(String owner, long before, int limit) {
        return jdbc.sql("select * from task where owner = :owner and id < :before order by id desc limit :limit")
                .param("owner", owner)
                .param("before", before)
                .param("limit", limit)
                .query(Tasks::task)
                .list();
    }

    private static Task task(ResultSet row, int number) throws SQLException {
        return new Task(
                row.getLong("id"),
                row.getString("owner"),
                row.getString("url"),
                row.getString("original_key"),
                row.getString("thumbnail_key"),
                instant(row, "submitted_at"),
                row.getObject("published_at") != null,
                row.getString("res") == null ? null : outcome(row));
    }

    private static Outcome outcome(ResultSet row) throws SQLException {
        return new Outcome(
                row.getLong("id"),
                Outcome.Res.of(row.getString("res")).orElseThrow(),
                row.getString("description"),
                row.getObject("attempts", Long.class),
                row.getObject("source_bytes", Long.class),
                row.getString("source_sha256"),
                row.getObject("width", Long.class),
                row.getObject("height", Long.class),
                row.getString("content_type"),
                row.getObject("thumbnail_bytes", Long.class),
                row.getString("thumbnail_sha256"),
                row.getObject("thumbnail_width", Long.class),
                row.getObject("thumbnail_height", Long.class),
                row.getString("code"),
                row.getObject("permanent", Boolean.class));
    }

    private static Instant instant(ResultSet row, String column) throws SQLException {
        return row.getObject(column, OffsetDateTime.class).toInstant();
    }
}

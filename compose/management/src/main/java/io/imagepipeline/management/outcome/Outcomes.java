package io.imagepipeline.management.outcome;

import java.time.Instant;
import java.time.ZoneOffset;
import java.time.temporal.ChronoUnit;
import org.springframework.jdbc.core.simple.JdbcClient;
import org.springframework.stereotype.Repository;

/** Writes outcomes to their tasks' rows by the reader's rule, so that order and repeats don't matter. */
@Repository
class Outcomes {
    /** What an outcome changed. */
    enum Effect {
        RECORDED,
        /** The task keeps the outcome that it has. */
        REPEAT,
        /** No task has this id. */
        UNKNOWN
    }

    private final JdbcClient jdbc;

    Outcomes(JdbcClient jdbc) {
        this.jdbc = jdbc;
    }

    Effect record(Outcome outcome) {
        // The reader's rule is the last line of the statement: Ok is final, an Error may be replaced by an Ok,
        // otherwise the first stays. In one statement, so that two readers at once can't both win.
        int changed = jdbc.sql("""
                        update task set
                            settled_at = :settledAt, res = :res, description = :description, attempts = :attempts,
                            source_bytes = :sourceBytes, source_sha256 = :sourceSha256, width = :width, height = :height,
                            content_type = :contentType, thumbnail_bytes = :thumbnailBytes,
                            thumbnail_sha256 = :thumbnailSha256, thumbnail_width = :thumbnailWidth,
                            thumbnail_height = :thumbnailHeight, code = :code, permanent = :permanent
                        where id = :id and (res is null or (res = 'Error' and :res = 'Ok'))
                        """)
                .param("settledAt", Instant.now().truncatedTo(ChronoUnit.MILLIS).atOffset(ZoneOffset.UTC))
                .param("res", outcome.res().word())
                .param("description", outcome.description())
                .param("attempts", outcome.attempts())
                .param("sourceBytes", outcome.sourceBytes())
                .param("sourceSha256", outcome.sourceSha256())
                .param("width", outcome.width())
                .param("height", outcome.height())
                .param("contentType", outcome.contentType())
                .param("thumbnailBytes", outcome.thumbnailBytes())
                .param("thumbnailSha256", outcome.thumbnailSha256())
                .param("thumbnailWidth", outcome.thumbnailWidth())
                .param("thumbnailHeight", outcome.thumbnailHeight())
                .param("code", outcome.code())
                .param("permanent", outcome.permanent())
                .param("id", outcome.correlationId())
                .update();
        if (changed > 0) {
            return Effect.RECORDED;
        }
        boolean known = jdbc.sql("select count(*) from task where id = :id").param("id", outcome.correlationId())
                .query(Long.class).single() > 0;
        return known ? Effect.REPEAT : Effect.UNKNOWN;
    }
}

package io.imagepipeline.management.outcome;

import java.util.Arrays;
import java.util.Locale;
import java.util.Optional;

/**
 * What became of a task, as the wire contract has it. Only the first three are always there: the system of 2020 wrote no
 * more. Of the others those of an {@code Ok} describe the stored objects, {@code code} and {@code permanent} an {@code Error}.
 */
public record Outcome(
        long correlationId,
        Res res,
        String description,
        Long attempts,
        Long sourceBytes,
        String sourceSha256,
        Long width,
        Long height,
        String contentType,
        Long thumbnailBytes,
        String thumbnailSha256,
        Long thumbnailWidth,
        Long thumbnailHeight,
        String code,
        Boolean permanent) {

    public enum Res {
        OK,
        ERROR;

        /** As on the wire: {@code Ok} or {@code Error}. */
        public String word() {
            return name().charAt(0) + name().substring(1).toLowerCase(Locale.ROOT);
        }

        public static Optional<Res> of(String word) {
            return Arrays.stream(values()).filter(res -> res.word().equals(word)).findFirst();
        }
    }

    public boolean isOk() {
        return res == Res.OK;
    }
}

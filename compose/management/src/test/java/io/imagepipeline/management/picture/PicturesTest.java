package io.imagepipeline.management.picture;

import static io.imagepipeline.management.harness.Management.JSON;
import static io.imagepipeline.management.harness.Management.as;
import static io.imagepipeline.management.harness.Management.download;
import static io.imagepipeline.management.harness.Management.send;
import static io.imagepipeline.management.harness.Stack.BUCKET;
import static java.util.concurrent.TimeUnit.SECONDS;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import io.imagepipeline.management.harness.FakeStore;
import io.imagepipeline.management.harness.Management;
import io.imagepipeline.management.harness.Stack;
import io.imagepipeline.management.harness.Topics;
import java.io.IOException;
import java.net.http.HttpResponse;
import java.util.Random;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import tools.jackson.databind.JsonNode;

class PicturesTest {
    private static Management management;
    private static FakeStore store;
    private static Topics topics;

    @BeforeAll
    static void start() throws Exception {
        Stack stack = Stack.shared();
        management = stack.management();
        store = stack.store();
        topics = stack.topics();
    }

    private record Stored(long id, String originalKey, String thumbnailKey) {}

    private static Stored settled(String res) throws Exception {
        long id = management.submit("ada", "https://example.com/a.jpg");
        JsonNode task = JSON.readTree(topics.task(id).value());
        topics.outcome(id, "{\"correlation_id\":%d,\"res\":\"%s\",\"description\":\"\"}".formatted(id, res));
        await().atMost(30, SECONDS).untilAsserted(() -> assertThat(management.state("ada", id)).isEqualTo(res.toLowerCase()));
        return new Stored(id, task.get("target_path").stringValue(), task.get("target_thumbnail_path").stringValue());
    }

    private static HttpResponse<byte[]> get(long id, String which) throws Exception {
        return download(as("ada", management.uri("/api/v1/tasks/" + id + "/" + which)));
    }

    private static byte[] bytes(int length) {
        byte[] bytes = new byte[length];
        new Random(length).nextBytes(bytes);
        return bytes;
    }

    @Test
    void original_and_thumbnail_come_byte_for_byte_from_the_keys_of_the_task() throws Exception {
        Stored task = settled("Ok");
        store.put(BUCKET, task.originalKey, "image/png", bytes(3_000_000));
        store.put(BUCKET, task.thumbnailKey, "image/jpeg", bytes(3_000));

        HttpResponse<byte[]> original = get(task.id, "original");
        HttpResponse<byte[]> thumbnail = get(task.id, "thumbnail");

        assertThat(original.statusCode()).isEqualTo(200);
        assertThat(original.body()).isEqualTo(bytes(3_000_000));
        assertThat(original.headers().firstValue("Content-Type")).contains("image/png");
        assertThat(original.headers().firstValue("Content-Disposition")).contains("inline; filename=\"picture-" + task.id + ".png\"");
        assertThat(thumbnail.body()).isEqualTo(bytes(3_000));
        assertThat(thumbnail.headers().firstValue("Content-Type")).contains("image/jpeg");
        assertThat(thumbnail.headers().firstValue("Content-Length")).contains("3000");
        assertThat(store.authorizations()).allSatisfy(value -> assertThat(value).startsWith("AWS4-HMAC-SHA256 Credential=access/"));
    }

    @ParameterizedTest
    @CsvSource({"image/jpeg, image/jpeg, inline", "image/png, image/png, inline", "image/gif, image/gif, inline", "image/webp, image/webp, inline",
        "text/html, application/octet-stream, attachment", "image/svg+xml, application/octet-stream, attachment",
        "image/png; x=y, application/octet-stream, attachment", ", application/octet-stream, attachment"})
    void only_known_image_types_are_shown_and_nothing_in_them_may_run(String stored, String served, String disposition) throws Exception {
        Stored task = settled("Ok");
        store.put(BUCKET, task.originalKey, stored, "<script>alert(1)</script>".getBytes());

        HttpResponse<byte[]> answer = get(task.id, "original");

        assertThat(answer.statusCode()).isEqualTo(200);
        assertThat(answer.headers().allValues("Content-Type")).containsExactly(served);
        assertThat(answer.headers().firstValue("Content-Disposition")).hasValueSatisfying(value -> assertThat(value).startsWith(disposition));
        assertThat(answer.headers().allValues("X-Content-Type-Options")).containsExactly("nosniff");
        assertThat(answer.headers().allValues("Content-Security-Policy")).containsExactly("default-src 'none'; sandbox");
        assertThat(answer.headers().allValues("Cache-Control")).hasSize(1).allSatisfy(value -> assertThat(value).contains("private").doesNotContain("public"));
        assertThat(answer.headers().allValues("Vary")).contains("Authorization");
    }

    @Test
    void there_is_no_picture_before_an_ok_nor_after_an_error() throws Exception {
        long waiting = management.submit("ada", "https://example.com/a.jpg");
        assertThat(get(waiting, "thumbnail").statusCode()).isEqualTo(404);
        assertThat(get(waiting, "original").statusCode()).isEqualTo(404);
        Stored failed = settled("Error");
        store.put(BUCKET, failed.originalKey, "image/png", bytes(10));
        assertThat(get(failed.id, "original").statusCode()).isEqualTo(404);
    }

    @Test
    void another_users_picture_is_not_found() throws Exception {
        Stored task = settled("Ok");
        store.put(BUCKET, task.originalKey, "image/png", bytes(10));
        assertThat(get(task.id, "original").statusCode()).isEqualTo(200);
        assertThat(send(as("bob", management.uri("/api/v1/tasks/" + task.id + "/original"))).statusCode()).isEqualTo(404);
    }

    @Test
    void an_object_that_is_gone_and_a_store_that_refuses_are_told_apart() throws Exception {
        Stored task = settled("Ok");
        assertProblem(get(task.id, "original"), 404, "object_missing");
        store.refuse(true);
        try {
            assertProblem(get(task.id, "original"), 502, "store_failed");
        } finally {
            store.refuse(false);
        }
    }

    @Test
    void a_store_that_cannot_be_reached_is_a_503_and_soon() throws Exception {
        Stored task = settled("Ok");
        store.stop();
        try {
            long began = System.nanoTime();
            assertProblem(get(task.id, "original"), 503, "store_unreachable");
            assertThat(System.nanoTime() - began).isLessThan(SECONDS.toNanos(10));
        } finally {
            store.start();
        }
        store.put(BUCKET, task.originalKey, "image/png", bytes(10));
        assertThat(get(task.id, "original").statusCode()).as("as soon as the store is back").isEqualTo(200);
    }

    @Test
    void a_picture_that_breaks_off_does_not_look_complete_and_keeps_nobody_waiting() throws Exception {
        Stored task = settled("Ok");
        store.putBroken(BUCKET, task.originalKey, "image/png", bytes(1_000_000), 400_000);
        long began = System.nanoTime();
        assertThatThrownBy(() -> get(task.id, "original")).isInstanceOf(IOException.class);
        assertThat(System.nanoTime() - began).isLessThan(SECONDS.toNanos(10));
    }

    private static void assertProblem(HttpResponse<byte[]> answer, int status, String code) {
        assertThat(answer.statusCode()).isEqualTo(status);
        assertThat(answer.headers().firstValue("Content-Type")).contains("application/problem+json");
        assertThat(JSON.readTree(answer.body()).get("code").stringValue()).isEqualTo(code);
    }
}

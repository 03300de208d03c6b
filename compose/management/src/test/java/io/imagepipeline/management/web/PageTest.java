package io.imagepipeline.management.web;

import static io.imagepipeline.management.harness.Management.as;
import static io.imagepipeline.management.harness.Management.send;
import static java.util.concurrent.TimeUnit.SECONDS;
import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.imagepipeline.management.harness.Management;
import io.imagepipeline.management.harness.Stack;
import io.imagepipeline.management.harness.Topics;
import java.net.http.HttpResponse;
import java.util.regex.Pattern;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** What the server draws. What the script does with it is seen in a real browser, in the system tests. */
class PageTest {
    private static Management management;
    private static Topics topics;

    @BeforeAll
    static void start() throws Exception {
        Stack stack = Stack.shared();
        management = stack.management();
        topics = stack.topics();
    }

    private static HttpResponse<String> page() throws Exception {
        return send(as("ada", management.uri("/")));
    }

    @Test
    void the_page_shows_ones_tasks_with_state_thumbnail_and_reason() throws Exception {
        long good = management.submit("ada", "https://example.com/good.jpg");
        long bad = management.submit("ada", "https://example.com/bad.jpg");
        topics.task(good);
        topics.task(bad);
        topics.outcome(good, "{\"correlation_id\":%d,\"res\":\"Ok\",\"description\":\"\",\"thumbnail_width\":128,\"thumbnail_height\":72}".formatted(good));
        topics.outcome(bad, "{\"correlation_id\":%d,\"res\":\"Error\",\"description\":\"the host answered 404\"}".formatted(bad));
        await().atMost(30, SECONDS).untilAsserted(() -> {
            assertThat(management.state("ada", good)).isEqualTo("ok");
            assertThat(management.state("ada", bad)).isEqualTo("error");
        });

        String page = page().body();

        assertThat(page).contains("https://example.com/good.jpg", "src=\"/api/v1/tasks/" + good + "/thumbnail\"", "width=\"128\"",
                "data-id=\"" + bad + "\" data-state=\"error\"", "the host answered 404");
        assertThat(page).doesNotContain("/api/v1/tasks/" + bad + "/thumbnail");
    }

    @Test
    void text_from_outside_is_shown_and_not_run() throws Exception {
        long id = management.submit("ada", "https://example.com/'onload='alert(1)");
        topics.task(id);
        topics.outcome(id, "{\"correlation_id\":%d,\"res\":\"Error\",\"description\":\"<img src=x onerror=alert(1)>\"}".formatted(id));
        await().atMost(30, SECONDS).untilAsserted(() -> assertThat(management.state("ada", id)).isEqualTo("error"));

        assertThat(page().body()).contains("&lt;img src=x onerror=alert(1)&gt;").doesNotContain("<img src=x");
    }

    @Test
    void only_our_own_script_may_run() throws Exception {
        HttpResponse<String> page = page();
        String policy = page.headers().firstValue("Content-Security-Policy").orElseThrow();
        assertThat(policy).contains("default-src 'none'", "script-src 'self'", "frame-ancestors 'none'").doesNotContain("unsafe", "*");
        assertThat(Pattern.compile("<script(?![^>]*\\ssrc=\"/assets/page.js\")|\\son\\w+=|\\sstyle=|<style|javascript:").matcher(page.body()).find())
                .as("inline script or style").isFalse();
    }

    @ParameterizedTest
    @CsvSource({"page.js, text/javascript", "page.css, text/css", "icon.svg, image/svg+xml"})
    void its_assets_are_served_with_their_types(String name, String type) throws Exception {
        HttpResponse<String> asset = send(as("ada", management.uri("/assets/" + name)));
        assertThat(asset.statusCode()).isEqualTo(200);
        assertThat(asset.headers().firstValue("Content-Type")).hasValueSatisfying(value -> assertThat(value).startsWith(type));
        assertThat(page().body()).contains("/assets/" + name);
    }
}

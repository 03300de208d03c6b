package io.imagepipeline.management.task;

import static io.imagepipeline.management.harness.Management.JSON;
import static io.imagepipeline.management.harness.Management.as;
import static io.imagepipeline.management.harness.Management.send;
import static org.assertj.core.api.Assertions.assertThat;

import io.imagepipeline.management.harness.Management;
import io.imagepipeline.management.harness.Stack;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import tools.jackson.databind.JsonNode;

class TasksApiTest {
    private static final String GOOD = "{\"url\": \"https://example.com/a.jpg\"}";

    private static Management management;

    @BeforeAll
    static void start() throws Exception {
        management = Stack.shared().management();
    }

    @Test
    void a_submission_is_accepted_and_found_at_its_location() throws Exception {
        HttpResponse<String> answer = send(management.submission("ada", GOOD));

        assertThat(answer.statusCode()).isEqualTo(202);
        JsonNode accepted = JSON.readTree(answer.body());
        assertThat(accepted.propertyNames()).containsExactlyInAnyOrder("id", "state");
        assertThat(accepted.get("state").stringValue()).isEqualTo("waiting");
        assertThat(accepted.get("id").longValue()).isBetween(1L, 4294967295L);
        String location = answer.headers().firstValue("Location").orElseThrow();
        assertThat(location).isEqualTo("/api/v1/tasks/" + accepted.get("id").longValue());
        JsonNode task = JSON.readTree(send(as("ada", management.uri(location))).body());
        assertThat(task.get("id")).isEqualTo(accepted.get("id"));
        assertThat(task.get("url").stringValue()).isEqualTo("https://example.com/a.jpg");
        assertThat(task.get("links").get("self").stringValue()).isEqualTo(location);
        assertThat(task.get("links").has("thumbnail")).isFalse();
    }

    @Test
    void without_the_right_credentials_the_answer_is_401_and_no_redirect() throws Exception {
        List<HttpRequest.Builder> requests = List.of(
                HttpRequest.newBuilder(management.uri("/api/v1/tasks")),
                HttpRequest.newBuilder(management.uri("/")),
                HttpRequest.newBuilder(management.uri("/api/v1/tasks")).header("Content-Type", "application/json").POST(BodyPublishers.ofString(GOOD)),
                HttpRequest.newBuilder(management.uri("/api/v1/tasks")).header("Authorization", "Basic YWRhOndyb25n"), // ada:wrong
                HttpRequest.newBuilder(management.uri("/api/v1/tasks")).header("Authorization", "Basic bm9ib2R5Og=="), // nobody:
                HttpRequest.newBuilder(management.uri("/api/v1/tasks")).header("Authorization", "Basic !"),
                as("eve", management.uri("/api/v1/tasks/1")));
        for (HttpRequest.Builder request : requests) {
            HttpResponse<String> answer = send(request);
            assertProblem(answer, 401, "unauthenticated");
            assertThat(answer.headers().firstValue("WWW-Authenticate")).hasValueSatisfying(value -> assertThat(value).startsWith("Basic"));
            assertThat(answer.headers().firstValue("Location")).isEmpty();
            assertThat(answer.headers().firstValue("Set-Cookie")).isEmpty();
        }
    }

    @ParameterizedTest(name = "{0}")
    @CsvSource(delimiter = '|', quoteCharacter = '\0', textBlock = """
            {"url": "https://example.com/a.jpg" | 400 | not_json            | line 1
             hello                              | 400 | not_json            | not JSON
            {"url": "http://a/"} {}             | 400 | not_json            | not JSON
            []                                  | 400 | not_json            | not a JSON object
            "http://a/"                         | 400 | not_json            | not a JSON object
            {}                                  | 400 | field_missing       | url is missing
            {"URL": "http://a/"}                | 400 | field_missing       | url is missing
            {"url": null}                       | 400 | field_missing       | url is missing
            {"url": 5}                          | 400 | field_type          | not number
            {"url": ["http://a/"]}              | 400 | field_type          | not array
            {"url": ""}                         | 422 | url_invalid         | empty
            {"url": "ftp://example.com/a"}      | 422 | url_scheme_refused  | ftp
            {"url": "http://u:p@example.com/"}  | 422 | url_credentials_refused | user name
            {"url": "http://a.EVIL.example./"}  | 403 | domain_blocked      | evil.example
            {"url": "http://BÜCHER.example/"}   | 403 | domain_blocked      | xn--bcher-kva.example
            """)
    void a_bad_submission_gets_a_problem_that_names_what_was_wrong(String body, int status, String code, String detail) throws Exception {
        HttpResponse<String> answer = send(management.submission("ada", body));
        assertProblem(answer, status, code);
        assertThat(JSON.readTree(answer.body()).get("detail").stringValue()).contains(detail);
    }

    @Test
    void an_empty_or_endless_body_and_too_long_a_url_are_refused() throws Exception {
        assertProblem(send(management.submission("ada", "")), 400, "not_json");
        assertProblem(send(management.submission("ada", "{\"url\": \"http://example.com/" + "a".repeat(3000) + "\"}")), 422, "too_long");
        assertProblem(send(management.submission("ada", "{\"url\": \"http://example.com/" + "a".repeat(1_000_000) + "\"}")), 413, "body_too_large");
        assertProblem(send(management.submission("ada", "[".repeat(10_000))), 400, "not_json");
    }

    @Test
    void a_refused_submission_leaves_no_task() throws Exception {
        int before = list("ada", "?limit=200").get("tasks").size();
        send(management.submission("ada", "{\"url\": \"http://a.evil.example/\"}"));
        send(management.submission("ada", "{\"url\": \"ftp://example.com/\"}"));
        assertThat(list("ada", "?limit=200").get("tasks").size()).isEqualTo(before);
    }

    @ParameterizedTest
    @ValueSource(strings = {"text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"})
    void what_a_form_of_another_site_could_send_is_not_accepted(String contentType) throws Exception {
        HttpResponse<String> answer = send(as("ada", management.uri("/api/v1/tasks")).header("Content-Type", contentType).POST(BodyPublishers.ofString(GOOD)));
        assertThat(answer.statusCode()).isEqualTo(415);
        assertThat(answer.headers().firstValue("Content-Type")).contains("application/problem+json");
    }

    @ParameterizedTest(name = "{0}: {1}")
    @CsvSource(textBlock = """
            Sec-Fetch-Site, cross-site, 403
            Sec-Fetch-Site, same-site, 403
            Sec-Fetch-Site, same-origin, 202
            Sec-Fetch-Site, none, 202
            Origin, https://attacker.example, 403
            Origin, null, 403
            Origin, ', ', 403
            Origin, http://SELF, 202
            Origin, https://SELF, 202
            """)
    void a_page_of_another_site_cannot_submit_with_the_browsers_credentials(String header, String value, int status) throws Exception {
        String self = management.uri("/").getAuthority();
        HttpResponse<String> answer = send(management.submission("ada", GOOD).header(header, value.replace("SELF", self)));
        assertThat(answer.statusCode()).isEqualTo(status);
        if (status == 403) {
            assertProblem(answer, 403, "cross_site_request");
        }
    }

    @Test
    void another_users_task_is_not_found() throws Exception {
        long id = management.submit("ada", "https://example.com/private.jpg");

        for (String path : List.of("", "/thumbnail", "/original")) {
            assertProblem(send(as("bob", management.uri("/api/v1/tasks/" + id + path))), 404, "no_such_task");
        }
        assertThat(send(as("bob", management.uri("/api/v1/tasks?limit=200"))).body()).doesNotContain("private.jpg");
        assertThat(send(as("bob", management.uri("/"))).body()).doesNotContain("private.jpg");
        assertThat(management.task("ada", id).get("url").stringValue()).endsWith("private.jpg");
    }

    @ParameterizedTest
    @ValueSource(strings = {"/api/v1/tasks/4294967295", "/api/v1/tasks/0", "/api/v1/tasks/-1", "/api/v1/nothing", "/nothing", "/actuator/health", "/actuator/prometheus"})
    void what_does_not_exist_is_a_404_problem(String path) throws Exception {
        HttpResponse<String> answer = send(as("ada", management.uri(path)));
        assertThat(answer.statusCode()).isEqualTo(404);
        assertThat(answer.headers().firstValue("Content-Type")).contains("application/problem+json");
    }

    @ParameterizedTest
    @ValueSource(strings = {"?limit=0", "?limit=201", "?limit=x", "?before=x", "/x", "/x/thumbnail", "/99999999999999999999"})
    void a_parameter_out_of_range_is_a_400_problem(String query) throws Exception {
        HttpResponse<String> answer = send(as("ada", management.uri("/api/v1/tasks" + query)));
        assertThat(answer.statusCode()).isEqualTo(400);
        assertThat(answer.headers().firstValue("Content-Type")).contains("application/problem+json");
    }

    @Test
    void the_list_is_newest_first_and_its_pages_join() throws Exception {
        List<Long> submitted = new ArrayList<>();
        for (int i = 0; i < 5; i++) {
            submitted.add(0, management.submit("bob", "https://example.com/" + i + ".jpg"));
        }
        List<Long> listed = new ArrayList<>();
        int pages = 0;
        for (String next = "?limit=2"; next != null; pages++) {
            JsonNode page = list("bob", next);
            page.get("tasks").forEach(task -> listed.add(task.get("id").longValue()));
            next = page.has("next") ? page.get("next").stringValue().replace("/api/v1/tasks", "") : null;
        }
        assertThat(listed.subList(0, 5)).isEqualTo(submitted);
        assertThat(listed).doesNotHaveDuplicates();
        assertThat(pages).isGreaterThanOrEqualTo(3);
    }

    @Test
    void a_method_that_is_not_there_is_a_405_problem() throws Exception {
        HttpResponse<String> answer = send(as("ada", management.uri("/api/v1/tasks")).DELETE());
        assertThat(answer.statusCode()).isEqualTo(405);
        assertThat(answer.headers().firstValue("Content-Type")).contains("application/problem+json");
    }

    @Test
    void health_and_metrics_are_on_their_own_port() throws Exception {
        management.submit("ada", "https://example.com/counted.jpg");
        for (String path : List.of("/health", "/health/liveness", "/health/readiness")) {
            HttpResponse<String> answer = send(HttpRequest.newBuilder(management.actuator(path)));
            assertThat(answer.statusCode()).isEqualTo(200);
            assertThat(JSON.readTree(answer.body()).get("status").stringValue()).isEqualTo("UP");
        }
        assertThat(management.metric("management_tasks_submitted_total")).isPositive();
        assertThat(send(as("ada", management.actuator("/env"))).statusCode()).as("nothing else is exposed").isEqualTo(404);
    }

    private static JsonNode list(String user, String query) throws Exception {
        return JSON.readTree(send(as(user, management.uri("/api/v1/tasks" + query))).body());
    }

    static void assertProblem(HttpResponse<String> answer, int status, String code) {
        assertThat(answer.statusCode()).as(answer.body()).isEqualTo(status);
        assertThat(answer.headers().firstValue("Content-Type")).contains("application/problem+json");
        JsonNode problem = JSON.readTree(answer.body());
        assertThat(Map.of("status", problem.get("status").intValue(), "code", problem.get("code").stringValue()))
                .isEqualTo(Map.of("status", status, "code", code));
        assertThat(problem.get("detail").stringValue()).isNotBlank();
    }
}

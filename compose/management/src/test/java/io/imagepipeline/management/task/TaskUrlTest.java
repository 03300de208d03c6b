package io.imagepipeline.management.task;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class TaskUrlTest {
    @ParameterizedTest(name = "{0}")
    @CsvSource(delimiter = '|', textBlock = """
            https://example.com/a.jpg               | https://example.com/a.jpg               | example.com
            HTTPS://EXAMPLE.com/A.jpg               | https://example.com/A.jpg               | example.com
            http://example.com                      | http://example.com                      | example.com
            http://example.com./a                   | http://example.com/a                    | example.com
            http://example.com:8080/a               | http://example.com:8080/a               | example.com
            http://example.com:/a                   | http://example.com/a                    | example.com
            http://example.com/a?b=c&d=%20#top      | http://example.com/a?b=c&d=%20          | example.com
            http://bücher.example/ü.jpg?ñ           | http://xn--bcher-kva.example/%C3%BC.jpg?%C3%B1 | xn--bcher-kva.example
            http://ＥＸＡＭＰＬＥ.com/🐈              | http://example.com/%F0%9F%90%88         | example.com
            http://example。com/a                   | http://example.com/a                    | example.com
            http://my_bucket.example.com/a          | http://my_bucket.example.com/a          | my_bucket.example.com
            http://origin/a                         | http://origin/a                         | origin
            http://192.0.2.1/a                      | http://192.0.2.1/a                      | 192.0.2.1
            http://[2001:DB8::1]:81/a               | http://[2001:db8::1]:81/a               | [2001:db8::1]
            """)
    void a_good_url_is_kept_in_one_canonical_spelling(String given, String text, String host) {
        assertThat(TaskUrl.parse(given)).isEqualTo(new TaskUrl(text, host));
    }

    @ParameterizedTest(name = "{0}")
    @CsvSource(delimiter = '|', textBlock = """
            ''                                      | url_invalid             | is empty
            example.com/a.jpg                       | url_invalid             | no scheme
            //example.com/a.jpg                     | url_invalid             | no scheme
            ftp://example.com/a.jpg                 | url_scheme_refused      | scheme is ftp
            file:///etc/passwd                      | url_scheme_refused      | scheme is file
            data:image/png;base64,AAAA              | url_scheme_refused      | scheme is data
            javascript:alert(1)                     | url_scheme_refused      | scheme is javascript
            http:///a.jpg                           | url_invalid             | no host
            http:a.jpg                              | url_invalid             | no host
            http://:80/a.jpg                        | url_invalid             | no host
            http://ada@example.com/                 | url_credentials_refused | before the @
            http://ada:secret@example.com/          | url_credentials_refused | before the @
            http://@example.com/                    | url_credentials_refused | before the @
            http://example.com:0/                   | url_invalid             | port is not a number
            http://example.com:65536/               | url_invalid             | port is not a number
            http://example.com:eighty/              | url_invalid             | port is not a number
            http://example.com/a b                  | url_invalid             | space at character 21
            http://example.com\\@good.example/      | url_invalid             | backslash
            http://example.com/%zz                  | url_invalid             | can't be read
            http://ex%61mple.com/                   | url_invalid             | neither a host name
            http://-example.com/                    | url_invalid             | neither a host name
            http://example..com/                    | url_invalid             | neither a host name
            http://2130706433/                      | url_invalid             | neither a host name
            http://0x7f000001/                      | url_invalid             | neither a host name
            http://0177.0.0.1/                      | url_invalid             | neither a host name
            http://127.1/                           | url_invalid             | neither a host name
            http://256.0.0.1/                       | url_invalid             | neither a host name
            http://[::1/                            | url_invalid             | can't be read
            http://[::g]/                           | url_invalid             | can't be read
            http://[fe80::1%25eth0]/                | url_invalid             | IPv6
            """)
    void a_bad_url_is_refused_with_its_reason(String given, String code, String reason) {
        RefusedUrl refused = refusal(given);
        assertThat(refused.code()).isEqualTo(code);
        assertThat(refused).hasMessageContaining(reason);
    }

    @Test
    void control_characters_and_broken_text_are_refused() {
        assertThat(refusal("http://example.com/\u0000")).hasMessageContaining("control character");
        assertThat(refusal("http://example.com/a\nb")).hasMessageContaining("control character");
        assertThat(refusal("http://example.com/\ud83d")).hasMessageContaining("broken text");
        assertThat(refusal("http://example.com/\u3000")).hasMessageContaining("space");
    }

    @Test
    void the_longest_url_is_accepted_and_one_more_character_is_not() {
        String longest = "http://example.com/" + "a".repeat(TaskUrl.LENGTH_MAX - 19);
        assertThat(TaskUrl.parse(longest).text()).hasSize(2048);
        assertThat(refusal(longest + "a").code()).isEqualTo("too_long");
    }

    @Test
    void the_length_counts_as_it_is_sent() {
        assertThat(refusal("http://example.com/" + "ü".repeat(400)).code()).isEqualTo("too_long");
    }

    @Test
    void a_canonical_url_stays_as_it_is() {
        TaskUrl once = TaskUrl.parse("http://bücher.example./ü?ñ#x");
        assertThat(TaskUrl.parse(once.text())).isEqualTo(once);
    }

    @Test
    void the_log_gets_no_query() {
        assertThat(TaskUrl.withoutQuery("https://example.com/a?token=secret")).isEqualTo("https://example.com/a");
        assertThat(TaskUrl.withoutQuery("https://example.com/a")).isEqualTo("https://example.com/a");
    }

    private static RefusedUrl refusal(String given) {
        RefusedUrl refused = catchThrowableOfType(RefusedUrl.class, () -> TaskUrl.parse(given));
        assertThat(refused).as("accepted: %s", given).isNotNull();
        return refused;
    }
}

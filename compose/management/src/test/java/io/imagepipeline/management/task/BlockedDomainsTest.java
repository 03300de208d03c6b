package io.imagepipeline.management.task;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.imagepipeline.management.settings.InvalidSetting;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class BlockedDomainsTest {
    private final BlockedDomains blocked = BlockedDomains.parse(" Evil.Example , .bücher.example., xn--caf-dma.example,192.0.2.7,, ");

    @ParameterizedTest
    @ValueSource(strings = {
        "http://evil.example/", "http://EVIL.example/", "http://evil.example./", "http://evil.example:8080/", "http://a.evil.example/",
        "http://a.b.c.Evil.EXAMPLE/", "http://ｅｖｉｌ.example/", "http://evil。example/", "http://bücher.example/", "http://BÜCHER.example/",
        "http://www.xn--bcher-kva.example/", "http://café.example/", "http://cafe\u0301.example/", "http://192.0.2.7/"
    })
    void a_blocked_domain_and_its_subdomains_are_blocked_in_every_spelling(String url) {
        assertThat(blocked.blocking(TaskUrl.parse(url).host())).isPresent();
    }

    @ParameterizedTest
    @ValueSource(strings = {
        "http://example/", "http://notevil.example/", "http://evil.example.org/", "http://evil-example/", "http://example.org/evil.example",
        "http://cafe.example/", "http://192.0.2.8/", "http://[2001:db8::7]/"
    })
    void other_hosts_are_not_blocked(String url) {
        assertThat(blocked.blocking(TaskUrl.parse(url).host())).isEmpty();
    }

    @Test
    void the_domain_that_blocks_is_named() {
        assertThat(blocked.blocking("a.b.evil.example")).contains("evil.example");
    }

    @Test
    void nothing_is_blocked_without_the_setting() {
        assertThat(BlockedDomains.parse("")).isEqualTo(BlockedDomains.NONE);
    }

    @ParameterizedTest
    @ValueSource(strings = {"*.example.com", "http://example.com", "example.com/a", "a b", "."})
    void what_is_no_domain_is_an_error_that_quotes_it(String entry) {
        assertThatThrownBy(() -> BlockedDomains.parse("evil.example," + entry))
                .isInstanceOf(InvalidSetting.class).hasMessageContaining("BLOCKED_DOMAINS").hasMessageContaining(entry);
    }
}

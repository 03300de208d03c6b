package io.imagepipeline.management.account;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.imagepipeline.management.settings.InvalidSetting;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class AccountTest {
    private static final String HASH = "{bcrypt}$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy";

    @Test
    void plain_and_hashed_passwords_are_read() {
        assertThat(Account.parseAll("ada:{noop}se:cret, bob@example.com:" + HASH))
                .containsExactly(new Account("ada", "{noop}se:cret"), new Account("bob@example.com", HASH));
    }

    @ParameterizedTest(name = "{0}")
    @CsvSource(delimiter = '|', textBlock = """
            ''                          | no default user
            '  '                        | no default user
            ada                         | entry 1
            :{noop}secret               | entry 1
            ada:{noop}x,,bob:{noop}y    | entry 2
            a b:{noop}secret            | entry 1
            ada:secret                  | password for ada
            ada:{noop}                  | password for ada
            ada:{bcrypt}secret          | password for ada
            ada:{MD5}secret             | password for ada
            ada:{noop}x,ada:{noop}y     | ada twice
            """)
    void an_unusable_entry_is_named(String users, String reason) {
        assertThatThrownBy(() -> Account.parseAll(users))
                .isInstanceOf(InvalidSetting.class).hasMessageStartingWith("USERS ").hasMessageContaining(reason);
    }

    @Test
    void a_password_is_never_shown() {
        assertThatThrownBy(() -> Account.parseAll("ada:topsecret")).hasMessageNotContaining("topsecret");
        assertThat(new Account("ada", "{noop}topsecret").toString()).isEqualTo("ada");
    }
}

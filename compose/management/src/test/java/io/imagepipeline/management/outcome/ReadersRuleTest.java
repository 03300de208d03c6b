package io.imagepipeline.management.outcome;

import static io.imagepipeline.management.outcome.Outcomes.Effect.RECORDED;
import static io.imagepipeline.management.outcome.Outcomes.Effect.REPEAT;
import static io.imagepipeline.management.outcome.Outcomes.Effect.UNKNOWN;
import static org.assertj.core.api.Assertions.assertThat;

import io.imagepipeline.management.harness.Golden;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.stream.Stream;
import org.flywaydb.core.Flyway;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.springframework.jdbc.core.simple.JdbcClient;
import org.springframework.jdbc.datasource.DriverManagerDataSource;
import tools.jackson.databind.JsonNode;

/** On the real statement and the real schema. */
class ReadersRuleTest {
    private JdbcClient jdbc;
    private Outcomes outcomes;

    @BeforeEach
    void database() {
        var dataSource = new DriverManagerDataSource("jdbc:h2:mem:" + UUID.randomUUID() + ";DB_CLOSE_DELAY=-1", "sa", "");
        Flyway.configure().dataSource(dataSource).load().migrate();
        jdbc = JdbcClient.create(dataSource);
        jdbc.sql("insert into task (id, owner, url, original_key, thumbnail_key, submitted_at) values (7, 'ada', '', '', '', now())").update();
        outcomes = new Outcomes(jdbc);
    }

    static Stream<JsonNode> sequences() {
        return Golden.json("readers_rule.json").valueStream();
    }

    @ParameterizedTest
    @MethodSource("sequences")
    void a_golden_sequence_ends_with_its_golden_outcome(JsonNode golden) {
        List<Outcome> sequence = new ArrayList<>();
        golden.get("sequence").forEach(outcome -> sequence.add(outcome(outcome.get("res").stringValue(),
                outcome.get("code").isNull() ? null : outcome.get("code").stringValue(), outcome.get("description").stringValue())));

        sequence.forEach(outcomes::record);

        Outcome stays = sequence.get(golden.get("final_index").intValue());
        assertThat(stored()).as(golden.get("name").stringValue())
                .containsEntry("RES", stays.res().word())
                .containsEntry("CODE", stays.code())
                .containsEntry("DESCRIPTION", stays.description());
    }

    @Test
    void there_are_golden_sequences() {
        assertThat(sequences()).hasSizeGreaterThanOrEqualTo(8);
    }

    @Test
    void each_effect_is_told() {
        assertThat(outcomes.record(outcome("Error", "total_timeout", "slow"))).isEqualTo(RECORDED);
        assertThat(outcomes.record(outcome("Error", "total_timeout", "slow"))).isEqualTo(REPEAT);
        assertThat(outcomes.record(outcome("Ok", null, ""))).isEqualTo(RECORDED);
        assertThat(outcomes.record(outcome("Ok", null, ""))).isEqualTo(REPEAT);
        assertThat(outcomes.record(new Outcome(8, Outcome.Res.OK, "", null, null, null, null, null, null, null, null, null, null, null, null)))
                .isEqualTo(UNKNOWN);
    }

    @Test
    void an_ok_leaves_nothing_of_the_error_that_it_replaces() {
        outcomes.record(outcome("Error", "total_timeout", "slow"));
        outcomes.record(outcome("Ok", null, ""));
        assertThat(stored()).containsEntry("RES", "Ok").containsEntry("CODE", null).containsEntry("PERMANENT", null)
                .containsEntry("DESCRIPTION", "");
    }

    private Map<String, Object> stored() {
        return jdbc.sql("select * from task where id = 7").query().singleRow();
    }

    private static Outcome outcome(String res, String code, String description) {
        return new Outcome(7, Outcome.Res.of(res).orElseThrow(), description, null, null, null, null, null, null, null, null, null, null,
                code, code == null ? null : Boolean.FALSE);
    }
}

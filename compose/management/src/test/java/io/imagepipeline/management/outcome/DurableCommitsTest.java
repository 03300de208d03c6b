package io.imagepipeline.management.outcome;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.MockConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

class DurableCommitsTest {
    private static final TopicPartition PARTITION = new TopicPartition("urls_done", 0);

    private final MockConsumer<byte[], byte[]> kafka = new MockConsumer<>("earliest");
    private final List<Long> committedAtSync = new ArrayList<>();

    @BeforeEach
    void assign() {
        kafka.assign(List.of(PARTITION));
    }

    @Test
    void every_commit_is_preceded_by_a_sync() {
        Consumer<byte[], byte[]> consumer = DurableCommits.syncingBeforeCommits(kafka, () -> committedAtSync.add(committed()));
        consumer.commitSync(Map.of(PARTITION, new OffsetAndMetadata(5)));
        consumer.commitAsync(Map.of(PARTITION, new OffsetAndMetadata(7)), null);
        assertThat(committedAtSync).containsExactly(0L, 5L);
        assertThat(committed()).isEqualTo(7);
    }

    @Test
    void a_sync_that_fails_lets_nothing_be_committed() {
        Consumer<byte[], byte[]> consumer = DurableCommits.syncingBeforeCommits(kafka, () -> {
            throw new IllegalStateException("disk full");
        });
        assertThatThrownBy(() -> consumer.commitSync(Map.of(PARTITION, new OffsetAndMetadata(5)))).hasMessage("disk full");
        assertThat(committed()).isZero();
    }

    @Test
    void a_failure_of_the_consumer_stays_what_it_is() {
        Consumer<byte[], byte[]> consumer = DurableCommits.syncingBeforeCommits(kafka, () -> {});
        consumer.close();
        assertThatThrownBy(() -> consumer.commitSync()).isInstanceOf(IllegalStateException.class).hasMessageContaining("closed");
    }

    private long committed() {
        OffsetAndMetadata committed = kafka.committed(Set.of(PARTITION)).get(PARTITION);
        return committed == null ? 0 : committed.offset();
    }
}

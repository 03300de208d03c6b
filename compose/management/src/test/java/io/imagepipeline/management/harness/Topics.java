package io.imagepipeline.management.harness;

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.UUID;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** The downloader's side of the topics: reads tasks, writes outcomes. */
public final class Topics implements AutoCloseable {
    private final String broker;
    private final Management management;
    private final KafkaProducer<String, byte[]> producer;
    private final KafkaConsumer<String, byte[]> consumer;
    private final List<ConsumerRecord<String, byte[]>> seen = new ArrayList<>();

    public Topics(String broker, Management management) {
        this.broker = broker;
        this.management = management;
        this.producer = new KafkaProducer<>(Map.of("bootstrap.servers", broker), new StringSerializer(), new ByteArraySerializer());
        this.consumer = new KafkaConsumer<>(settings(), new StringDeserializer(), new ByteArrayDeserializer());
        consumer.subscribe(List.of(management.get("KAFKA_INPUT_TOPIC")));
    }

    private Properties settings() {
        Properties settings = new Properties();
        settings.putAll(Map.of("bootstrap.servers", broker, "group.id", UUID.randomUUID().toString(), "auto.offset.reset", "earliest",
                "metadata.max.age.ms", "1000"));
        return settings;
    }

    /** The task's first record, waiting for it. */
    public ConsumerRecord<String, byte[]> task(long id) {
        return tasks(id, 1, Duration.ofSeconds(40)).get(0);
    }

    /** All records of the task seen until {@code wanted} are there. */
    public List<ConsumerRecord<String, byte[]>> tasks(long id, int wanted, Duration patience) {
        Instant end = Instant.now().plus(patience);
        while (true) {
            List<ConsumerRecord<String, byte[]>> matching = seen.stream().filter(record -> record.key().equals(Long.toString(id))).toList();
            if (matching.size() >= wanted) {
                return matching;
            }
            if (Instant.now().isAfter(end)) {
                throw new AssertionError("task " + id + ": " + matching.size() + " of " + wanted + " records, others "
                        + seen.stream().map(ConsumerRecord::key).toList());
            }
            consumer.poll(Duration.ofMillis(200)).forEach(seen::add);
        }
    }

    public int recordsSeen() {
        consumer.poll(Duration.ofMillis(500)).forEach(seen::add);
        return seen.size();
    }

    public void outcome(long id, String json) throws Exception {
        outcome(new ProducerRecord<>(management.get("KAFKA_OUTPUT_TOPIC"), Long.toString(id), json.getBytes(StandardCharsets.UTF_8)));
    }

    public void outcome(ProducerRecord<String, byte[]> record) throws Exception {
        producer.send(record).get(20, TimeUnit.SECONDS);
    }

    /** How many outcomes management's group has not committed yet. */
    public long lag() throws Exception {
        List<TopicPartition> partitions = consumer.partitionsFor(management.get("KAFKA_OUTPUT_TOPIC")).stream()
                .map(partition -> new TopicPartition(partition.topic(), partition.partition())).toList();
        return consumer.endOffsets(partitions).values().stream().mapToLong(Long::longValue).sum() - committed();
    }

    /** What management's group has committed on the outcomes' topic, all partitions together. */
    public long committed() throws Exception {
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", broker))) {
            return admin.listConsumerGroupOffsets(management.get("KAFKA_CONSUMER_GROUP")).partitionsToOffsetAndMetadata()
                    .get(20, TimeUnit.SECONDS).entrySet().stream()
                    .filter(entry -> entry.getKey() instanceof TopicPartition && entry.getValue() != null)
                    .mapToLong(entry -> entry.getValue().offset()).sum();
        }
    }

    @Override
    public void close() {
        producer.close(Duration.ZERO);
        consumer.close();
    }
}

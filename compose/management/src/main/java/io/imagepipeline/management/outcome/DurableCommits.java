package io.imagepipeline.management.outcome;

import io.imagepipeline.management.settings.Disk;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import org.apache.kafka.clients.consumer.Consumer;
import org.springframework.boot.kafka.autoconfigure.DefaultKafkaConsumerFactoryCustomizer;
import org.springframework.kafka.core.DefaultKafkaConsumerFactory;
import org.springframework.stereotype.Component;

/**
 * What Kafka is told is done is on the disk: the database is synced before every commit of offsets. Once for each poll's
 * records, since once for each record would hold them to some two hundred a second.
 */
@Component
class DurableCommits implements DefaultKafkaConsumerFactoryCustomizer {
    private final Disk disk;

    DurableCommits(Disk disk) {
        this.disk = disk;
    }

    @Override
    public void customize(DefaultKafkaConsumerFactory<?, ?> factory) {
        addTo(factory);
    }

    private <K, V> void addTo(DefaultKafkaConsumerFactory<K, V> factory) {
        factory.addPostProcessor(consumer -> syncingBeforeCommits(consumer, disk::sync));
    }

    @SuppressWarnings("unchecked")
    static <K, V> Consumer<K, V> syncingBeforeCommits(Consumer<K, V> consumer, Runnable sync) {
        return (Consumer<K, V>) Proxy.newProxyInstance(Consumer.class.getClassLoader(), new Class<?>[] {Consumer.class},
                (proxy, method, arguments) -> {
                    if (method.getName().startsWith("commit")) {
                        sync.run();
                    }
                    try {
                        return method.invoke(consumer, arguments);
                    } catch (InvocationTargetException failure) {
                        throw failure.getCause();
                    }
                });
    }
}

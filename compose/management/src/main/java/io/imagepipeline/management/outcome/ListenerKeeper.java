package io.imagepipeline.management.outcome;

import io.imagepipeline.management.observe.Names;
import io.micrometer.core.instrument.MeterRegistry;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.springframework.context.event.ContextClosedEvent;
import org.springframework.context.event.EventListener;
import org.springframework.core.NestedExceptionUtils;
import org.springframework.kafka.config.KafkaListenerEndpointRegistry;
import org.springframework.kafka.listener.MessageListenerContainer;
import org.springframework.scheduling.annotation.Scheduled;
import org.springframework.stereotype.Component;

/**
 * Starts the listener, and starts it again if it ever stops. A consumer can't even be made while the broker's name doesn't
 * resolve; that must neither end the application nor leave it deaf.
 */
@Component
class ListenerKeeper {
    private static final Logger log = LoggerFactory.getLogger(ListenerKeeper.class);

    private final KafkaListenerEndpointRegistry registry;
    private final MeterRegistry metrics;
    private boolean closing;
    private boolean complained;

    ListenerKeeper(KafkaListenerEndpointRegistry registry, MeterRegistry metrics) {
        this.registry = registry;
        this.metrics = metrics;
    }

    @Scheduled(fixedDelay = 2000)
    synchronized void keepRunning() {
        MessageListenerContainer container = registry.getListenerContainer(OutcomeListener.ID);
        if (closing || container == null || (container.isRunning() && container.isChildRunning())) {
            return;
        }
        try {
            container.stop();
            container.start();
            log.info("listening for outcomes");
            complained = false;
        } catch (RuntimeException failure) {
            container.stop();
            metrics.counter(Names.LISTENER_FAILURES).increment();
            if (!complained) {
                log.warn("can't listen for outcomes yet, trying again every 2 s: {}", NestedExceptionUtils.getMostSpecificCause(failure).toString());
                complained = true;
            }
        }
    }

    @EventListener(ContextClosedEvent.class)
    synchronized void close() {
        closing = true;
    }
}

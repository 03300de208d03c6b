package io.imagepipeline.management.observe;

import io.micrometer.common.KeyValues;
import org.springframework.kafka.support.micrometer.KafkaRecordSenderContext;
import org.springframework.kafka.support.micrometer.KafkaTemplateObservationConvention;
import org.springframework.stereotype.Component;

/** Names the span {@code send urls_new}, with today's attribute names. */
@Component
class SendConvention implements KafkaTemplateObservationConvention {
    @Override
    public String getName() {
        return "messaging.client.operation.duration";
    }

    @Override
    public String getContextualName(KafkaRecordSenderContext context) {
        return Names.SEND + " " + context.getDestination();
    }

    @Override
    public KeyValues getLowCardinalityKeyValues(KafkaRecordSenderContext context) {
        return KeyValues.of(
                Names.MESSAGING_SYSTEM, "kafka",
                Names.MESSAGING_DESTINATION, context.getDestination(),
                Names.MESSAGING_OPERATION_TYPE, Names.SEND,
                Names.MESSAGING_OPERATION_NAME, Names.SEND);
    }

    @Override
    public KeyValues getHighCardinalityKeyValues(KafkaRecordSenderContext context) {
        return KeyValues.of(Names.MESSAGING_KEY, String.valueOf(context.getRecord().key()));
    }
}

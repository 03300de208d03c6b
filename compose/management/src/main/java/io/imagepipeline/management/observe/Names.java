package io.imagepipeline.management.observe;

/** Every metric and span attribute of our own making or choosing. Attributes: OpenTelemetry semantic conventions 1.37. */
public final class Names {
    public static final String TASKS_SUBMITTED = "management.tasks.submitted";
    /** By {@code result}: recorded, repeat, unknown, unreadable; failed counts the tries that the database refused. */
    public static final String OUTCOMES = "management.outcomes";
    public static final String OUTBOX_UNPUBLISHED = "management.outbox.unpublished";
    public static final String LISTENER_FAILURES = "management.listener.failures";
    public static final String RELAY_FAILURES = "management.relay.failures";
    /** By {@code result}: served, missing, refused, unreachable. */
    public static final String PICTURES = "management.pictures";

    static final String SEND = "send";
    static final String PROCESS = "process";
    static final String MESSAGING_SYSTEM = "messaging.system";
    static final String MESSAGING_DESTINATION = "messaging.destination.name";
    static final String MESSAGING_OPERATION_TYPE = "messaging.operation.type";
    static final String MESSAGING_OPERATION_NAME = "messaging.operation.name";
    static final String MESSAGING_CONSUMER_GROUP = "messaging.consumer.group.name";
    static final String MESSAGING_PARTITION = "messaging.destination.partition.id";
    static final String MESSAGING_OFFSET = "messaging.kafka.offset";
    static final String MESSAGING_KEY = "messaging.kafka.message.key";

    private Names() {}
}

package io.imagepipeline.management.settings;

import org.springframework.jdbc.core.simple.JdbcClient;
import org.springframework.stereotype.Component;

/**
 * Forces the database's file to the disk. H2 writes a commit up to half a second after it has returned, and then only to the
 * operating system. So this comes before every promise to others: a 202, a committed offset.
 */
@Component
public class Disk {
    private final JdbcClient jdbc;

    Disk(JdbcClient jdbc) {
        this.jdbc = jdbc;
    }

    /** When this returns, every commit before it is on the disk. Takes some milliseconds. */
    public void sync() {
        jdbc.sql("checkpoint sync").update();
    }
}

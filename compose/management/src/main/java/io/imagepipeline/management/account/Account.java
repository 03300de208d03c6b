package io.imagepipeline.management.account;

import io.imagepipeline.management.settings.InvalidSetting;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.regex.Pattern;

/**
 * Somebody who may log in.
 *
 * @param password with the name of its encoding in front: {@code {noop}secret} or {@code {bcrypt}$2a$10$...}
 */
public record Account(String name, String password) {
    private static final Pattern NAME = Pattern.compile("[A-Za-z0-9._@-]{1,100}");
    private static final Pattern PASSWORD = Pattern.compile("\\{noop\\}.+|\\{bcrypt\\}\\$2[aby]\\$\\d\\d\\$[./A-Za-z0-9]{53}");
    private static final String REMEDY =
            "Set USERS to name:{bcrypt}hash, or name:{noop}password for a demo; several are separated by commas.";

    /** @throws InvalidSetting naming the account (never the password) that can't be read */
    public static List<Account> parseAll(String users) {
        if (users.isBlank()) {
            throw new InvalidSetting("USERS", "is not set, and there is no default user", REMEDY);
        }
        List<Account> accounts = new ArrayList<>();
        Set<String> names = new HashSet<>();
        for (String entry : users.split(",")) {
            Account account = parse(entry.strip(), accounts.size() + 1);
            if (!names.add(account.name)) {
                throw new InvalidSetting("USERS", "names " + account.name + " twice", "Keep one entry of " + account.name + ".");
            }
            accounts.add(account);
        }
        return List.copyOf(accounts);
    }

    private static Account parse(String entry, int number) {
        int colon = entry.indexOf(':');
        String name = colon < 0 ? "" : entry.substring(0, colon);
        if (!NAME.matcher(name).matches()) {
            throw new InvalidSetting("USERS", "has no usable name in entry " + number
                    + " (1 to 100 letters, digits or . _ @ -, then a colon)", REMEDY);
        }
        String password = entry.substring(colon + 1);
        if (!PASSWORD.matcher(password).matches()) {
            throw new InvalidSetting("USERS", "has a password for " + name + " that is neither {noop} with a password nor {bcrypt} with a hash",
                    REMEDY);
        }
        return new Account(name, password);
    }

    @Override
    public String toString() {
        return name;
    }
}

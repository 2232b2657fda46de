import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.net.InetAddress;
import java.net.UnknownHostException;
import java.util.ArrayList;
import java.util.Hashtable;
import java.util.List;
import javax.naming.Context;
import javax.naming.NamingEnumeration;
import javax.naming.NamingException;
import javax.naming.directory.Attribute;
import javax.naming.directory.DirContext;
import javax.naming.directory.InitialDirContext;

/**
 * How a program in Java resolves names: InetAddress ("inet"), or DNS by way of JNDI ("jndi").
 *
 * Each line read is a question, "KIND NAME REVERSE", and answered by one line: "ok" and what was
 * found, or "error" and what the library calls it.
 */
public final class Resolve {
    private static List<String> inet(String kind, String name) throws UnknownHostException {
        List<String> found = new ArrayList<>();
        switch (kind) {
            case "any":
                for (InetAddress address : InetAddress.getAllByName(name)) {
                    found.add(address.getHostAddress());
                }
                return found;
            case "ptr":
                InetAddress address = InetAddress.getByName(name);
                String host = address.getCanonicalHostName();
                // It says the address again when it finds no name.
                if (host.equals(address.getHostAddress())) {
                    throw new UnknownHostException("the address again");
                }
                found.add(host);
                return found;
            default:
                throw new IllegalArgumentException("not a question");
        }
    }

    private static List<String> records(DirContext dns, String name, String type)
            throws NamingException {
        List<String> found = new ArrayList<>();
        Attribute records = dns.getAttributes(name, new String[] {type}).get(type);
        if (records != null) {
            NamingEnumeration<?> all = records.getAll();
            while (all.hasMore()) {
                found.add(all.next().toString());
            }
        }
        return found;
    }

    private static List<String> jndi(DirContext dns, String kind, String name, String reverse)
            throws NamingException {
        List<String> found = new ArrayList<>();
        switch (kind) {
            case "any":
                found.addAll(records(dns, name, "A"));
                found.addAll(records(dns, name, "AAAA"));
                break;
            case "a":
            case "aaaa":
                found.addAll(records(dns, name, kind.toUpperCase()));
                break;
            case "srv":
                for (String record : records(dns, name, "SRV")) {
                    String[] words = record.split(" ");
                    found.add(words[3] + ":" + words[2]);
                }
                break;
            case "ptr":
                found.addAll(records(dns, reverse, "PTR"));
                break;
            default:
                throw new IllegalArgumentException("not a question");
        }
        if (found.isEmpty()) {
            throw new NamingException("no such attribute");
        }
        return found;
    }

    private static String answer(String way, DirContext dns, String[] words) {
        try {
            List<String> found = way.equals("jndi")
                ? jndi(dns, words[0], words[1], words.length > 2 ? words[2] : "")
                : inet(words[0], words[1]);
            return "ok " + String.join(" ", found);
        } catch (UnknownHostException error) {
            String said = String.valueOf(error.getMessage());
            return "error UnknownHostException " + said.substring(said.indexOf(": ") + 1).trim();
        } catch (NamingException error) {
            return "error " + error.getClass().getSimpleName();
        } catch (IllegalArgumentException error) {
            return "error " + error.getMessage();
        }
    }

    public static void main(String[] arguments) throws Exception {
        Hashtable<String, String> settings = new Hashtable<>();
        settings.put(Context.INITIAL_CONTEXT_FACTORY, "com.sun.jndi.dns.DnsContextFactory");
        // Without an address: the servers of resolv.conf.
        settings.put(Context.PROVIDER_URL, "dns:");
        DirContext dns = new InitialDirContext(settings);
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        for (String line; (line = lines.readLine()) != null;) {
            System.out.println(answer(arguments[0], dns, line.split(" ")));
        }
    }
}

import java.io.BufferedReader;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.flink.cep.CEP;
import org.apache.flink.cep.functions.PatternProcessFunction;
import org.apache.flink.cep.nfa.aftermatch.AfterMatchSkipStrategy;
import org.apache.flink.cep.pattern.Pattern;
import org.apache.flink.cep.pattern.conditions.IterativeCondition;
import org.apache.flink.cep.pattern.conditions.SimpleCondition;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.sink.legacy.SinkFunction;
import org.apache.flink.streaming.api.functions.source.legacy.SourceFunction;
import org.apache.flink.streaming.api.watermark.Watermark;
import org.apache.flink.util.Collector;

/**
 * A workload as Flink CEP runs it: one pattern, one task, events that are objects in memory.
 *
 * java FlinkCep WORKLOAD EVENTS.csv PASSES prints a line of JSON for each pass. A pass is timed from the first event that
 * the source hands over to the moment when the sink has had everything; the start of the job is not in it.
 * Events of kinds that the pattern does not name are left out in front of the pattern, as an author would.
 *
 * Flink's window is half-open (an element exactly as old as `within` is out), so it says one millisecond more than the
 * reference, as our rules do.
 */
public final class FlinkCep {
    private static final int WATERMARK_EVERY = 1_000; // events

    public static final class Event {
        public long ts;
        public String type;
        public String card;
        public double amount;

        public Event() {}
    }

    private static Event[] events; // the source of the one task reads it: everything runs in this process
    private static volatile long beganNs;
    private static volatile long endedNs;
    private static volatile long matches;

    public static final class Stream implements SourceFunction<Event> {
        private volatile boolean running = true;

        @Override
        public void run(SourceContext<Event> out) {
            beganNs = System.nanoTime();
            for (int i = 0; i < events.length && running; i++) {
                out.collectWithTimestamp(events[i], events[i].ts);
                if (i % WATERMARK_EVERY == WATERMARK_EVERY - 1) {
                    out.emitWatermark(new Watermark(events[i].ts - 1));
                }
            }
        }

        @Override
        public void cancel() {
            running = false;
        }
    }

    /** Counts matches; the end of the stream is no deadline here, so what Flink reports for it alone does not count. */
    public static final class Counter implements SinkFunction<Long> {
        private long count;

        @Override
        public void invoke(Long dueMs, Context context) {
            if (dueMs <= events[events.length - 1].ts) {
                count++;
            }
        }

        @Override
        public void finish() {
            matches = count;
            endedNs = System.nanoTime();
        }
    }

    /** A match as the last time in it; an absence as its deadline. */
    public static final class Due extends PatternProcessFunction<Event, Long> {
        private final long afterMs;

        Due(long afterMs) {
            this.afterMs = afterMs;
        }

        @Override
        public void processMatch(Map<String, List<Event>> match, Context context, Collector<Long> out) {
            long last = 0;
            for (List<Event> captured : match.values()) {
                last = Math.max(last, captured.get(captured.size() - 1).ts);
            }
            out.collect(last + afterMs);
        }
    }

    private interface Test extends java.io.Serializable {
        boolean holds(Event event);
    }

    private static SimpleCondition<Event> where(Test test) {
        return new SimpleCondition<>() {
            @Override
            public boolean filter(Event event) {
                return test.holds(event);
            }
        };
    }

    private static IterativeCondition<Event> doubles(String before) {
        return new IterativeCondition<>() {
            @Override
            public boolean filter(Event event, Context<Event> run) throws Exception {
                return event.amount > run.getEventsForPattern(before).iterator().next().amount * 2;
            }
        };
    }

    private static boolean is(Event event, String type) {
        return event.type.equals(type);
    }

    private record Workload(Set<String> types, Pattern<Event, ?> pattern, long afterMs) {}

    private static Workload workload(String name) {
        Pattern<Event, Event> begin = Pattern.begin("a", AfterMatchSkipStrategy.skipPastLastEvent());
        return switch (name) {
            case "w1" -> new Workload(
                Set.of("login_failed"),
                begin.where(where(e -> is(e, "login_failed"))).times(5).within(Duration.ofMillis(60_001)),
                0);
            case "w2" -> new Workload(
                Set.of("login_failed", "password_change", "payment"),
                begin.where(where(e -> is(e, "login_failed")))
                    .followedBy("b").where(where(e -> is(e, "password_change")))
                    .followedBy("c").where(where(e -> is(e, "payment") && e.amount > 900))
                    .within(Duration.ofMillis(600_001)),
                0);
            case "w3" -> new Workload(
                Set.of("payment"),
                begin.where(where(e -> e.amount < 2)).timesOrMore(3)
                    .followedBy("b").where(where(e -> e.amount > 500))
                    .within(Duration.ofMillis(600_001)),
                0);
            case "w4" -> new Workload(
                Set.of("payment"),
                begin.where(where(e -> true))
                    .followedBy("b").where(doubles("a"))
                    .followedBy("c").where(doubles("b"))
                    .within(Duration.ofMillis(300_001)),
                0);
            case "w5" -> new Workload(
                Set.of("login_ok", "logout"),
                begin.where(where(e -> is(e, "login_ok")))
                    .notFollowedBy("b").where(where(e -> is(e, "logout")))
                    .within(Duration.ofMillis(1_800_001)),
                1_800_001);
            default -> throw new IllegalArgumentException(name);
        };
    }

    private static void pass(Workload workload) throws Exception {
        StreamExecutionEnvironment env = StreamExecutionEnvironment.createLocalEnvironment(1, new Configuration());
        env.getConfig().enableObjectReuse();
        Set<String> types = workload.types();
        CEP.pattern(
                env.addSource(new Stream()).returns(Event.class).filter(e -> types.contains(e.type)).keyBy(e -> e.card),
                workload.pattern())
            .inEventTime()
            .process(new Due(workload.afterMs()))
            .addSink(new Counter());
        env.execute();
        System.out.printf("{\"matches\": %d, \"seconds\": %.6f}%n", matches, (endedNs - beganNs) / 1e9);
        System.out.flush();
    }

    private static Event[] read(Path path) throws IOException {
        List<Event> read = new ArrayList<>();
        try (BufferedReader lines = Files.newBufferedReader(path)) {
            lines.readLine(); // the header
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                String[] cells = line.split(",");
                Event event = new Event();
                event.ts = Long.parseLong(cells[0]);
                event.type = cells[1].intern();
                event.card = cells[2].intern();
                event.amount = Double.parseDouble(cells[3]);
                read.add(event);
            }
        }
        return read.toArray(new Event[0]);
    }

    public static void main(String[] arguments) throws Exception {
        events = read(Path.of(arguments[1]));
        for (int pass = 0; pass < Integer.parseInt(arguments[2]); pass++) {
            pass(workload(arguments[0]));
        }
    }
}

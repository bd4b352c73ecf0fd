// ctl_options.c - the command line of ternmqctl.
#include "ctl/ctl_options.h"

#include <stdio.h>

// ---- The tables ---------------------------------------------------------------------------------

enum option {
    OPTION_SOCKET,
    OPTION_JSON,
    OPTION_HELP,
    OPTION_VERSION,
    OPTION_FILTER,
    OPTION_LIMIT,
    OPTION_CLIENT,
    OPTION_ALL,
    OPTION_FORCE,
    OPTION_SORT,
    OPTION_USER,
    OPTION_ADDRESS,
    OPTION_FOR,
    OPTION_QOS,
    OPTION_WAIT,
    OPTION_UNDO,
    OPTION_RATE,
    OPTION_DRY_RUN,
    OPTION_COUNT,
    OPTION_BY,
    OPTION_LEVELS,
    OPTION_YES
};
#define HAS(o) (1u << OPTION_##o)
#define ALWAYS (HAS(SOCKET) | HAS(JSON) | HAS(HELP) | HAS(VERSION))

static const struct {
    const char *name, *value; // value NULL: it has none
} options[] = {
    [OPTION_SOCKET] = {"--socket", "PATH"},     [OPTION_JSON] = {"--json", NULL},
    [OPTION_HELP] = {"--help", NULL},           [OPTION_VERSION] = {"--version", NULL},
    [OPTION_FILTER] = {"--filter", "TEXT"},     [OPTION_LIMIT] = {"--limit", "N"},
    [OPTION_CLIENT] = {"--client", "ID"},       [OPTION_ALL] = {"--all", NULL},
    [OPTION_FORCE] = {"--force", NULL},         [OPTION_SORT] = {"--sort", "KEY"},
    [OPTION_USER] = {"--user", "NAME"},         [OPTION_ADDRESS] = {"--address", "ADDRESS"},
    [OPTION_FOR] = {"--for", "TIME"},           [OPTION_QOS] = {"--qos", "N"},
    [OPTION_COUNT] = {"--count", "N"},          [OPTION_BY] = {"--by", "KEY"},
    [OPTION_LEVELS] = {"--prefix-levels", "N"}, [OPTION_WAIT] = {"--wait", NULL},
    [OPTION_UNDO] = {"--undo", NULL},           [OPTION_RATE] = {"--rate", "N"},
    [OPTION_DRY_RUN] = {"--dry-run", NULL},     [OPTION_YES] = {"--yes", NULL},
};

enum operand { OPERAND_NONE, OPERAND_MAY, OPERAND_MUST, OPERAND_TWO };
#define LEVELS_MAX 200u                                     // of a topic
#define WATCH_S    3600u                                    // what the broker grants
#define SUBJECT    (HAS(CLIENT) | HAS(USER) | HAS(ADDRESS)) // of a ban

static const struct command {
    const char *name, *second; // second NULL: the name is one word
    uint32_t options;
    enum operand operand;
    const char *help;
} commands[] = {
    [CTL_DO_STATUS] =
        {"status", NULL, ALWAYS | HAS(ALL), OPERAND_NONE,
         "ternmqctl status [--all]\n\n"
         "Version, time since the start, listeners, clients, messages a second (of the second "
         "that\n"
         "the command takes), queues, memory and what gives way for it (0: nothing), store, "
         "cluster,\n"
         "and what was dropped and refused since the start.\n\n"
         "  --all  then all figures that are not 0, by their names in $SYS/broker/\n\n"
         "With --json, at once, all figures.\n"},
    [CTL_DO_CLUSTER] =
        {"cluster", NULL, ALWAYS, OPERAND_NONE,
         "ternmqctl cluster\n\n"
         "The nodes as this one sees them: state (alive, suspected, dead, gone), incarnation (how\n"
         "often it was started), address, and what each says of itself every few seconds: "
         "version,\n"
         "uptime, clients that are connected, messages from and to clients a second. A dash: it\n"
         "does not say, as nodes of an earlier version, or is not there.\n\n"
         "Then the links, as this node's workers see them now:\n\n"
         "  TO, FROM  our connection to it, and its to us\n"
         "  ROUTES    filters and share groups of its clients, in force here; of this node, its "
         "own\n"
         "  SESSIONS  that it keeps for clients\n"
         "  SEQ       changes of its routes that are applied here\n"
         "  COPY      same: as many changes and the same hash as it said last (at most 10 s ago);\n"
         "            behind: more are on their way; differs: taken anew, see the log; own\n"
         "  WAITING   messages for it that it has not acknowledged, this node's own words "
         "included\n"
         "  BYTES     of those that were not sent yet\n"
         "  ON-DISK   how many of them are on the disk alone; with persistence, all are on it, "
         "too\n"
         "  LAG-MS    the age of the oldest that waits; 0: none. A dash: it is on the disk "
         "alone\n\n"
         "With --json also the hashes, what it has said last (said_seq, said_hash), and how many\n"
         "changes of this node's routes are in force there (taken).\n"
         "Exit code 1: there is no cluster.\n"},
    [CTL_DO_CLIENTS] =
        {"clients", NULL, ALWAYS | HAS(FILTER) | HAS(LIMIT) | HAS(ALL) | HAS(SORT), OPERAND_NONE,
         "ternmqctl clients [--filter TEXT] [--sort KEY] [--limit N] [--all]\n\n"
         "The clients that are connected.\n\n"
         "  --filter TEXT  those with TEXT in their identifier, user name or address\n"
         "  --sort KEY     by id; by connected, the longest first; by queue, inflight, subs, in,\n"
         "                 out, oldest, output or dropped, the largest first. in and out: "
         "messages\n"
         "                 of the session; the last three: see slow.\n"
         "                 Default: in no order, as they are found\n"
         "  --limit N      no more than N: with --sort the first N of all\n"
         "  --all          sessions without a connection, too\n\n"
         "Sessions that are there throughout are listed once; those that come and go meanwhile\n"
         "may be in it or not. With --sort they are collected here first.\n"},
    [CTL_DO_CLIENT] = {"client", NULL, ALWAYS, OPERAND_MUST,
                       "ternmqctl client ID\n\n"
                       "What there is to know of a client, connected or away, and its "
                       "subscriptions. Of its Will\n"
                       "the topic is shown, not the payload.\n"
                       "Exit code 1: there is no such client. An identifier that begins with - "
                       "stands behind --.\n"},
    [CTL_DO_KICK] = {"kick", NULL, ALWAYS, OPERAND_MUST,
                     "ternmqctl kick ID\n\n"
                     "Ends a client's connection. An MQTT 5 client is told reason 0x98, "
                     "administrative action.\n"
                     "Its session stays for as long as it was to, its Will goes out, and nothing "
                     "keeps it from\n"
                     "coming again.\n"
                     "Exit code 1: it is not connected.\n"},
    [CTL_DO_SUBSCRIPTIONS] =
        {"subscriptions", NULL, ALWAYS | HAS(CLIENT) | HAS(LIMIT), OPERAND_MAY,
         "ternmqctl subscriptions [--client ID] [--limit N] [FILTER]\n\n"
         "Who subscribes to what. With FILTER, subscriptions within it: a/# shows those to a, "
         "a/b,\n"
         "a/+/c and a/#, and a/+ those to a/b and a/+.\n\n"
         "  --client ID  of this client alone\n"
         "  --limit N    no more than N\n\n"
         "Of a client that subscribes and unsubscribes meanwhile one may be listed twice.\n"},
    [CTL_DO_RETAINED_LS] = {"retained", "ls", ALWAYS | HAS(LIMIT), OPERAND_MAY,
                            "ternmqctl retained ls [--limit N] [FILTER]\n\n"
                            "Retained messages: their topics and sizes, never their payloads. "
                            "Without FILTER, all but\n"
                            "those of topics that begin with $.\n"},
    [CTL_DO_RETAINED_RM] =
        {"retained", "rm", ALWAYS, OPERAND_MUST,
         "ternmqctl retained rm TOPIC|FILTER\n\n"
         "Removes the retained messages of all topics that match, here and at the other nodes of "
         "a\n"
         "cluster. Who subscribes to them is sent nothing. The broker's own topics ($SYS) stay.\n"
         "Exit code 1: nothing was removed.\n"},
    [CTL_DO_BACKUP] =
        {"backup", NULL, ALWAYS | HAS(FORCE), OPERAND_MUST,
         "ternmqctl backup [--force] FOLDER\n\n"
         "A consistent copy of the store, while the broker goes on: all that was acknowledged\n"
         "before is in it. It is a store itself: a broker whose persistence_location and\n"
         "persistence_file name it starts from it. The broker's user writes it (folders with mode\n"
         "0700, files 0600), so it must be allowed to. FOLDER appears at the end, as a whole.\n\n"
         "  --force  a store that is at FOLDER gives way to the copy, at once; never one that a\n"
         "           broker has open, and nothing that is not a store\n\n"
         "Exit code 1: there is no copy.\n"},
    [CTL_DO_RELOAD] =
        {"reload", NULL, ALWAYS, OPERAND_NONE,
         "ternmqctl reload\n\n"
         "Reads the configuration and its files again, as SIGHUP does, and says what came of it.\n"
         "Exit code 1: it was refused, for the reasons that are printed with file and line; the\n"
         "last good configuration holds.\n"},
    [CTL_DO_BAN_ADD] =
        {"ban", "add", ALWAYS | SUBJECT | HAS(FOR), OPERAND_NONE,
         "ternmqctl ban add [--client ID] [--user NAME] [--address ADDRESS] [--for TIME]\n\n"
         "Whom it names is refused by CONNECT with 0x8A: a client identifier, a user name, an\n"
         "address, or a client identifier at an address. Connections that are there stay: kick\n"
         "them. An IPv6 address stands for its first 64 bits.\n\n"
         "  --for TIME  a number and s, m (minutes), h or d; default: until the broker ends\n\n"
         "Bans are of this node alone, in memory: they end with the broker. One that is there "
         "gets\n"
         "the new end.\n"},
    [CTL_DO_BAN_RM] = {"ban", "rm", ALWAYS | SUBJECT, OPERAND_NONE,
                       "ternmqctl ban rm [--client ID] [--user NAME] [--address ADDRESS]\n\n"
                       "Ends the ban with exactly this subject, as ban ls shows it, whoever has "
                       "entered it.\n"
                       "Exit code 1: there is no such ban.\n"},
    [CTL_DO_BAN_LS] = {"ban", "ls", ALWAYS | HAS(LIMIT), OPERAND_NONE,
                       "ternmqctl ban ls [--limit N]\n\n"
                       "Bans in force, in no order: those entered here, and those that the broker "
                       "has made itself\n"
                       "(flapping_max, max_login_failures). A dash: it ends with the broker.\n"},
    [CTL_DO_LOG_LEVEL] =
        {"log", "level", ALWAYS, OPERAND_MAY,
         "ternmqctl log level [TYPE,...]\n\n"
         "What is logged now, and what the configuration says; with types: they are logged from\n"
         "now on, and no others. They are log_type's: error, warning, notice, information, debug,\n"
         "subscribe, unsubscribe, websockets, internal, all, none.\n\n"
         "It holds until the next reload, the next time that the log is reopened (USR1), or the\n"
         "end of the broker: then the configuration's hold again.\n"
         "Exit code 1: nothing is logged anywhere (log_dest none).\n"},
    [CTL_DO_CONFIG_SHOW] =
        {"config", "show", ALWAYS, OPERAND_NONE,
         "ternmqctl config show\n\n"
         "Every key in force with its value, wherever it came from: those of the broker, then "
         "each\n"
         "listener with its own. Keys without a value are left out. Secrets (auth_http_header,\n"
         "queries of URLs) are shown as ***.\n"},
    [CTL_DO_CONFIG_CHECK] =
        {"config", "check", ALWAYS, OPERAND_MUST,
         "ternmqctl config check FILE\n\n"
         "Would this broker, with its environment and as its user, start with that file? Files "
         "that\n"
         "it names (certificates, passwords, rules) are read, too. Nothing changes.\n"
         "Exit code 1: it would not, for the reasons that are printed with file and line.\n"},
    [CTL_DO_EXPLAIN_PUB] =
        {"explain", "pub", ALWAYS | HAS(QOS) | HAS(LIMIT), OPERAND_TWO,
         "ternmqctl explain pub [--qos N] [--limit N] CLIENT TOPIC\n\n"
         "May the client publish to the topic, and by which rule (file and line, or role)? Then "
         "who\n"
         "subscribes to it, at this node and, as one line each, at others, and what would become "
         "of\n"
         "a message there now. Of a share group one member gets it. The broker decides as for a\n"
         "message, and sends none.\n\n"
         "  --qos N    of the message; default: 0\n"
         "  --limit N  no more than N subscriptions\n\n"
         "Exit code 1: there is no such client here, or it may not.\n"},
    [CTL_DO_EXPLAIN_SUB] =
        {"explain", "sub", ALWAYS | HAS(QOS), OPERAND_TWO,
         "ternmqctl explain sub [--qos N] CLIENT TOPIC|FILTER\n\n"
         "May the client subscribe to it, may it read what comes, and by which rules? Of a topic\n"
         "also which of its subscriptions match, and what would become of a message there now.\n\n"
         "  --qos N  of the message; default: 0\n\n"
         "Exit code 1: there is no such client here, or it may not.\n"},
    [CTL_DO_DRAIN] =
        {"drain", NULL, ALWAYS | HAS(FOR) | HAS(WAIT) | HAS(UNDO), OPERAND_NONE,
         "ternmqctl drain [--for TIME] [--wait]\nternmqctl drain --undo\n\n"
         "Empties this node of its clients, and goes on running. /readyz says no from now on, and\n"
         "the other nodes send nobody here. After drain_delay seconds new clients are refused, "
         "and\n"
         "those that are here are ended one after the other. MQTT 5 clients are told 0x9C and the\n"
         "address of another node that does not drain (advertise), or, where there is none, 0x8B\n"
         "and 0x89; others are closed. Wills go out as of any connection that ends.\n\n"
         "  --for TIME  a number and s, m, h or d: until all have gone; default: drain_time, or\n"
         "              30 s where that is 0\n"
         "  --wait      until nobody is left\n"
         "  --undo      clients may come again; those that have gone are not called back\n\n"
         "Sessions that outlive their connections stay here: their clients come by other nodes,\n"
         "as long as this one runs. A second drain has the new time. SIGTERM ends the broker at\n"
         "once, in order, and the drain with it.\n"
         "Exit code 1: the broker ends already, or there is nothing to undo; with --wait, clients\n"
         "are left when the time is over, or somebody has undone it.\n"},
    [CTL_DO_DECOMMISSION] =
        {"decommission", NULL, ALWAYS | HAS(FOR) | HAS(WAIT), OPERAND_NONE,
         "ternmqctl decommission [--for TIME] [--wait]\n\n"
         "Gives up this node for good: it drains, as with drain, and then each session that "
         "outlives\n"
         "its connection goes to another node, with what waits for it and what is under way. "
         "While\n"
         "that lasts the client of a session is told 0x88, server unavailable, and finds it where "
         "it\n"
         "comes again. Nothing is lost or comes twice for it. When status says done, the broker "
         "may\n"
         "be stopped, and its disk given up: other nodes then forget it at once.\n\n"
         "  --for TIME  until all clients have gone, as of drain\n"
         "  --wait      until all sessions have gone\n\n"
         "All nodes have to be there: it waits for one that is away, and status says for which. "
         "It\n"
         "cannot be undone; a broker that ends before it is done goes on with it at its next "
         "start.\n"
         "Of two nodes that are given up one waits for the other. Wills go out as of any "
         "connection\n"
         "that ends.\n"
         "Exit code 1: there is no cluster, no other node that takes sessions, or one of an "
         "earlier\n"
         "version.\n"},
    [CTL_DO_FORGET] =
        {"forget", NULL, ALWAYS | HAS(DRY_RUN) | HAS(YES), OPERAND_MUST,
         "ternmqctl forget [--dry-run] [--yes] NODE\n\n"
         "Tells the cluster that a node, which is dead or gone, will not come back with what it "
         "had:\n"
         "its disk is lost, or its machine. Nobody waits for it any longer. Its clients get new\n"
         "sessions at once (until now they are told 0x88, for a day), their Wills are published,\n"
         "what waits for it at other nodes is dropped and counted (dropped/session end), a\n"
         "decommission of another node goes on without it, and it is listed no more. What was on "
         "its\n"
         "disk alone, sessions with what waited in them, is lost with the disk.\n\n"
         "NODE is its name or its id, as cluster shows them. Where another node with the same name "
         "has\n"
         "come in its place, the one that is dead is meant. The command says what there is, and "
         "asks.\n\n"
         "  --dry-run  says what there is, and does nothing\n"
         "  --yes      does not ask; it must be given where standard input is no terminal\n\n"
         "All nodes that are there hear of it at once, and those that are away when they are back, "
         "for\n"
         "a day. It is of the life that has ended: should the node come back after all, even with "
         "its\n"
         "disk, it is a node as any other. Then of two sessions of a client the later one stays.\n"
         "Exit code 1: there is no cluster, no such node, it is here (alive or suspected), it is "
         "this\n"
         "one, or the answer was no.\n"},
    [CTL_DO_REBALANCE] =
        {"rebalance", NULL, ALWAYS | HAS(DRY_RUN) | HAS(RATE) | HAS(ALL) | HAS(UNDO), OPERAND_NONE,
         "ternmqctl rebalance [--dry-run] [--rate N] [--all]\nternmqctl rebalance --undo\n\n"
         "Of this node alone: if it has more than 1.1 times the clients that nodes have in the\n"
         "mean, sends those beyond it to other nodes, chosen at random, and ends. Nodes that "
         "drain\n"
         "do not count; what others have is some seconds old. It says what is to be done, and\n"
         "status shows how far it is.\n\n"
         "  --dry-run  says it, and does nothing\n"
         "  --rate N   clients a second; default: 20\n"
         "  --all      also those that cannot be told where to go: clients before MQTT 5, and all\n"
         "             where no node advertises itself; they are closed (0x89)\n"
         "  --undo     stops one that is under way; who has gone stays away\n\n"
         "Only clients whose session ends with their connection: the others would come back here,\n"
         "by a longer way. Wills go out as of any connection that ends.\n"
         "Exit code 1: there is no cluster, no other node, or one is under way.\n"},
    [CTL_DO_TRACE_CLIENT] =
        {"trace", "client", ALWAYS | HAS(COUNT) | HAS(FOR), OPERAND_MUST,
         "ternmqctl trace client [--count N] [--for TIME] ID\n\n"
         "The client's packets as they come and go, one a line, until Ctrl-C: time, -> from the\n"
         "client or <- to it, type, packet identifier, QoS, flags, topic, size of the payload, "
         "alias,\n"
         "reason code, properties; and -- where something else became of it. It may be "
         "connected or\n"
         "come later: its CONNECT, though it is refused, is traced, too. Where its session is at\n"
         "another node of a cluster, trace it at that node: client ID says which one it is.\n\n"
         "Never shown: payloads, passwords, Authentication Data; of Correlation Data the size, of\n"
         "User Properties the number. Texts are cut at 1024 bytes, those of properties at 256.\n\n"
         "  --count N   ends after N lines\n"
         "  --for TIME  ends after a number and s, m or h; default, and most: 1h\n\n"
         "With --json one object a line. The time is that of the worker's round, packets of one\n"
         "round have the same. Four traces may be under way at once. A worker keeps 256 KiB that\n"
         "were not fetched yet; what comes beyond is counted: \"N records were not kept\".\n"},
    [CTL_DO_TRACE_TOPIC] =
        {"trace", "topic", ALWAYS | HAS(COUNT) | HAS(FOR), OPERAND_MUST,
         "ternmqctl trace topic [--count N] [--for TIME] FILTER\n\n"
         "Each PUBLISH to a topic that matches, with who publishes it (->), and each to a "
         "client\n"
         "that gets it (<-), until Ctrl-C; otherwise as trace client. A client that is away gets "
         "its\n"
         "messages later, and then there is a line. What another node publishes or gets is its "
         "line;\n"
         "who gets it there is seen there. Refused messages are not shown.\n\n"
         "  --count N   ends after N lines\n"
         "  --for TIME  ends after a number and s, m or h; default, and most: 1h\n"},
    [CTL_DO_TOPICS_TOP] =
        {"topics", "top", ALWAYS | HAS(BY) | HAS(LIMIT) | HAS(FOR) | HAS(LEVELS), OPERAND_NONE,
         "ternmqctl topics top [--by KEY] [--limit N] [--for TIME] [--prefix-levels N]\n\n"
         "The topics to which clients publish most, here, while the command runs; before and "
         "after\n"
         "nothing is counted.\n\n"
         "  --by KEY           messages (default) or bytes, of payloads\n"
         "  --limit N          no more than N; default: 20\n"
         "  --for TIME         counts for so long: a number and s, m or h, up to 1h; default: 5s\n"
         "  --prefix-levels N  counts topics with the same first N levels as one\n\n"
         "Each worker has 512 counters (space-saving). By the key, a topic has at most OVER/S "
         "less\n"
         "than is shown, and never more. OVER/S is at most a 512th of all that the workers were\n"
         "sent in a second, and every topic with more than that of its worker's is found. The "
         "other\n"
         "column counts from when the topic got its counter, and may be too small. Topics are "
         "told\n"
         "apart by their first 512 bytes.\n"},
    [CTL_DO_SLOW] =
        {"slow", NULL, ALWAYS | HAS(FILTER) | HAS(LIMIT) | HAS(ALL), OPERAND_NONE,
         "ternmqctl slow [--filter TEXT] [--limit N] [--all]\n\n"
         "The connected clients for which something waits, the slowest first.\n\n"
         "  OLDEST-MS  since the oldest message that it has not acknowledged, or was not sent, "
         "came\n"
         "             to the broker. A dash: not known: QoS 0, retained, or on the disk alone\n"
         "  IN-FLIGHT  messages that it was sent and has not acknowledged\n"
         "  QUEUED     that were not sent yet\n"
         "  OUTPUT     bytes that its connection has not taken\n"
         "  DROPPED    messages that it did not get: its queue was full, it reads too slowly, "
         "its\n"
         "             rate, or memory_limit; since its session has been in memory\n\n"
         "  --filter TEXT  those with TEXT in their identifier, user name or address\n"
         "  --limit N      no more than N\n"
         "  --all          sessions without a connection, too\n"},
    [CTL_DO_HELP] =
        {"help", NULL, ALWAYS, OPERAND_MAY,
         "ternmqctl asks and steers a running ternmq, by its control_socket.\n\n"
         "  ternmqctl [--socket PATH] [--json] COMMAND\n\n"
         "  status [--all]               the broker on one screen; all figures\n"
         "  cluster                      the nodes, and the links to them\n"
         "  clients [--filter TEXT] [--sort KEY] [--limit N] [--all]\n"
         "  client ID                    all of one client, and its subscriptions\n"
         "  kick ID                      ends a client's connection\n"
         "  subscriptions [--client ID] [--limit N] [FILTER]\n"
         "  retained ls [--limit N] [FILTER]\n"
         "  retained rm TOPIC|FILTER\n"
         "  backup [--force] FOLDER      a copy of the store, while the broker runs\n"
         "  reload                       reads the configuration again\n"
         "  ban add|rm [--client ID] [--user NAME] [--address ADDRESS] [--for TIME]\n"
         "  ban ls [--limit N]           who may not connect\n"
         "  log level [TYPE,...]         what is logged; sets it until the next reload\n"
         "  config show                  all keys in force\n"
         "  config check FILE            would the broker start with it?\n"
         "  explain pub CLIENT TOPIC     may it, by which rule, and who gets it?\n"
         "  explain sub CLIENT TOPIC     may it, by which rules, and does it get it?\n"
         "  drain [--for TIME] [--wait]  sends all clients elsewhere, and lets none in; --undo\n"
         "  decommission [--for TIME] [--wait]\n"
         "                               gives up this node, and moves its sessions to others\n"
         "  forget [--dry-run] [--yes] NODE\n"
         "                               a dead node will not come back with what it had\n"
         "  rebalance [--dry-run] [--rate N] [--all]\n"
         "                               sends away clients that others have not; --undo\n\n"
         "  trace client [--count N] [--for TIME] ID\n"
         "  trace topic [--count N] [--for TIME] FILTER\n"
         "  topics top [--by KEY] [--limit N] [--for TIME] [--prefix-levels N]\n"
         "  slow [--filter TEXT] [--limit N] [--all]\n\n"
         "  --socket PATH  the broker's control_socket; else $TERNMQ_CONTROL_SOCKET, else\n"
         "                 " CTL_SOCKET_DEFAULT "\n"
         "  --json         one JSON object instead of text\n"
         "  --help         behind a command: about that command\n"
         "  --version\n\n"
         "Root and the broker's own user may use it. In tables, control characters of what "
         "clients\n"
         "chose are shown as \\n, \\x1b or \\u202e, and a backslash is doubled.\n\n"
         "Exit code 0: done; 1: not found, or refused; 2: the command line is wrong; 3: no\n"
         "connection to the broker.\n"},
};

// ---- Words --------------------------------------------------------------------------------------

struct reading {
    struct ctl_options *to;
    char *complaint;
    const char *words[2 + CTL_OPERANDS_MAX]; // what is no option
    unsigned word_count;
    uint32_t given; // options
};

static bool
complain(const struct reading *reading, const char *about, const char *what)
{
    (void)snprintf(reading->complaint, CTL_COMPLAINT_MAX, "%.100s: %s", about, what);
    return false;
}

static bool
take_number(const char *text, uint64_t *ret)
{
    uint64_t number = 0;
    size_t len = strlen(text);
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        number = number * 10 + (uint64_t)(text[i] - '0');
    }
    *ret = number;
    return len > 0 && len <= 18 && number > 0;
}

// A number and its unit.
static bool
take_time(const char *text, uint64_t *ret_s)
{
    static const struct {
        char letter;
        uint32_t seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
    char number[12];
    size_t len = strlen(text);
    if (len < 2 || len > sizeof number)
        return false;
    memcpy(number, text, len - 1);
    number[len - 1] = '\0';
    for (unsigned i = 0; i < ARRAY_LEN(units); i++)
        if (text[len - 1] == units[i].letter && take_number(number, ret_s)) {
            *ret_s *= units[i].seconds;
            return *ret_s <= INT32_MAX;
        }
    return false;
}

static bool
take_qos(const char *text, uint32_t *ret)
{
    *ret = (uint32_t)(text[0] - '0');
    return text[0] >= '0' && text[0] <= '2' && text[1] == '\0';
}

// Those that are not as they come.
static bool
take_checked(struct reading *reading, enum option option, const char *value)
{
    struct ctl_options *to = reading->to;
    switch (option) {
    case OPTION_LIMIT:
        return take_number(value, &to->limit) ||
               complain(reading, value, "--limit is a number from 1 on");
    case OPTION_FOR:
        return take_time(value, &to->for_s) ||
               complain(reading, value, "--for is a number and s, m, h or d, up to 68 years");
    case OPTION_RATE:
        return (take_number(value, &to->rate) && to->rate <= CTL_RATE_MAX) ||
               complain(reading, value, "--rate is a number from 1 to 10000");
    case OPTION_COUNT:
        return take_number(value, &to->count) ||
               complain(reading, value, "--count is a number from 1 on");
    case OPTION_LEVELS:
        return (take_number(value, &to->levels) && to->levels <= LEVELS_MAX) ||
               complain(reading, value, "--prefix-levels is a number from 1 to 200");
    case OPTION_BY:
        to->by_bytes = strcmp(value, "bytes") == 0;
        return to->by_bytes || strcmp(value, "messages") == 0 ||
               complain(reading, value, "--by is messages or bytes");
    case OPTION_QOS:
        return take_qos(value, &to->qos) || complain(reading, value, "--qos is 0, 1 or 2");
    default:
        must(option == OPTION_SORT);
        return ctl_order_read(value, &to->order) ||
               complain(reading, value,
                        "--sort is id, connected, queue, inflight, subs, in, out, oldest, output "
                        "or dropped");
    }
}

static bool
take_value(struct reading *reading, enum option option, const char *value)
{
    struct ctl_options *to = reading->to;
    switch (option) {
    case OPTION_SOCKET:
        to->socket = value;
        return true;
    case OPTION_FILTER:
        to->text = value;
        return true;
    case OPTION_CLIENT:
        to->client = value;
        return true;
    case OPTION_USER:
        to->user = value;
        return true;
    case OPTION_ADDRESS:
        to->address = value;
        return true;
    case OPTION_LIMIT:
    case OPTION_FOR:
    case OPTION_QOS:
    case OPTION_RATE:
    case OPTION_SORT:
    case OPTION_COUNT:
    case OPTION_BY:
    case OPTION_LEVELS:
        return take_checked(reading, option, value);
    default:
        to->json |= option == OPTION_JSON;
        to->all |= option == OPTION_ALL;
        to->force |= option == OPTION_FORCE;
        to->wait |= option == OPTION_WAIT;
        to->undo |= option == OPTION_UNDO;
        to->dry_run |= option == OPTION_DRY_RUN;
        to->yes |= option == OPTION_YES;
        return true;
    }
}

// "--name", "--name value" or "--name=value". *at moves over a value.
static bool
take_option(struct reading *reading, int argc, char *const *argv, int *at)
{
    must(*at < argc);
    const char *arg = argv[*at], *equals = strchr(arg, '=');
    size_t len = equals ? (size_t)(equals - arg) : strlen(arg);
    unsigned i = 0;
    if (strcmp(arg, "-h") == 0) {
        arg = "--help";
        len = strlen(arg);
    }
    while (i < ARRAY_LEN(options) &&
           (strlen(options[i].name) != len || strncmp(arg, options[i].name, len) != 0))
        i++;
    if (i == ARRAY_LEN(options))
        return complain(reading, arg, "there is no such option");
    if (reading->given & 1u << i)
        return complain(reading, options[i].name, "given twice");
    reading->given |= 1u << i;
    if (!options[i].value && equals)
        return complain(reading, options[i].name, "takes no value");
    const char *value = equals ? equals + 1 : NULL;
    if (options[i].value && !value) {
        if (*at + 1 >= argc)
            return complain(reading, options[i].name, "needs a value");
        value = argv[++*at];
    }
    return take_value(reading, (enum option)i, value);
}

static bool
take_words(struct reading *reading, int argc, char *const *argv)
{
    bool options_end = false;
    for (int at = 1; at < argc; at++) {
        const char *arg = argv[at];
        if (!options_end && strcmp(arg, "--") == 0)
            options_end = true;
        else if (!options_end && arg[0] == '-' && arg[1] != '\0') {
            if (!take_option(reading, argc, argv, &at))
                return false;
        } else if (reading->word_count == ARRAY_LEN(reading->words)) {
            return complain(reading, arg, "one word too many");
        } else {
            reading->words[reading->word_count++] = arg;
        }
    }
    return true;
}

// ---- Commands -----------------------------------------------------------------------------------

// How many words name it; 0: none does.
static unsigned
find_command(const struct reading *reading, enum ctl_command *ret)
{
    for (unsigned i = 0; i < ARRAY_LEN(commands); i++) {
        const struct command *command = &commands[i];
        if (strcmp(reading->words[0], command->name) != 0)
            continue;
        bool second = command->second && reading->word_count > 1 &&
                      strcmp(reading->words[1], command->second) == 0;
        if (command->second && !second)
            continue;
        *ret = (enum ctl_command)i;
        return second ? 2 : 1;
    }
    return 0;
}

static bool
check_options(const struct reading *reading, const struct command *command)
{
    for (unsigned i = 0; i < ARRAY_LEN(options); i++)
        if (reading->given & ~command->options & 1u << i)
            return complain(reading, options[i].name, "not with this command; see --help");
    return true;
}

// The first word stands before others: "ls or rm must follow".
static bool
miss_second(const struct reading *reading, const char *first)
{
    char what[100] = "";
    size_t len = 0;
    for (unsigned i = 0; i < ARRAY_LEN(commands); i++) {
        if (!commands[i].second || strcmp(commands[i].name, first) != 0)
            continue;
        int added = snprintf(what + len, sizeof what - len, "%s%s", len > 0 ? " or " : "",
                             commands[i].second);
        must(added > 0 && (size_t)added < sizeof what - len);
        len += (size_t)added;
    }
    if (len == 0)
        return complain(reading, first, "there is no such command; see --help");
    (void)snprintf(what + len, sizeof what - len, " must follow");
    return complain(reading, first, what);
}

static bool
take_operands(struct reading *reading, const struct command *command, unsigned named)
{
    static const unsigned fewest[] = {[OPERAND_MUST] = 1, [OPERAND_TWO] = 2};
    static const unsigned most[] = {
        [OPERAND_NONE] = 0, [OPERAND_MAY] = 1, [OPERAND_MUST] = 1, [OPERAND_TWO] = 2};
    unsigned left = reading->word_count - named;
    for (unsigned i = 0; i < left && i < CTL_OPERANDS_MAX; i++)
        reading->to->operands[i] = reading->words[named + i];
    if (left > most[command->operand])
        return complain(reading, reading->words[reading->word_count - 1], "one word too many");
    if (left < fewest[command->operand])
        return complain(reading, command->name, "something must follow; see --help");
    return true;
}

static bool
take_command(struct reading *reading)
{
    struct ctl_options *to = reading->to;
    unsigned named = find_command(reading, &to->command);
    must(named <= reading->word_count);
    if (named == 0)
        return miss_second(reading, reading->words[0]);
    if (to->command == CTL_DO_HELP || reading->given & HAS(HELP)) {
        to->topic = to->command;
        to->command = CTL_DO_HELP;
        return true;
    }
    const struct command *command = &commands[to->command];
    if (!take_operands(reading, command, named))
        return false;
    bool ban = to->command == CTL_DO_BAN_ADD || to->command == CTL_DO_BAN_RM;
    if (ban && !to->client && !to->user && !to->address)
        return complain(reading, "ban", "whom? --client, --user or --address");
    if (ban && to->user && (to->client || to->address))
        return complain(reading, "--user", "stands alone");
    must(to->command < ARRAY_LEN(commands));
    if (to->undo && reading->given & ~(ALWAYS | HAS(UNDO)))
        return complain(reading, "--undo", "stands alone");
    if (to->command == CTL_DO_SLOW)
        to->order = CTL_ORDER_OLDEST;
    bool watches = to->command == CTL_DO_TRACE_CLIENT || to->command == CTL_DO_TRACE_TOPIC ||
                   to->command == CTL_DO_TOPICS_TOP;
    if (watches && to->for_s > WATCH_S)
        return complain(reading, "--for", "is 1h at most with this command");
    return check_options(reading, command);
}

bool
ctl_options_read(int argc, char *const *argv, const char *env, struct ctl_options *ret,
                 char ret_complaint[CTL_COMPLAINT_MAX])
{
    struct reading reading = {.to = ret, .complaint = ret_complaint};
    *ret = (struct ctl_options){.command = CTL_DO_HELP,
                                .topic = CTL_DO_HELP,
                                .socket = env && env[0] != '\0' ? env : CTL_SOCKET_DEFAULT,
                                .limit = UINT64_MAX,
                                .count = UINT64_MAX};
    ret_complaint[0] = '\0';
    if (!take_words(&reading, argc, argv))
        return false;
    if (reading.given & HAS(VERSION)) {
        ret->command = CTL_DO_VERSION;
        return true;
    }
    if (reading.word_count > 0)
        return take_command(&reading);
    return reading.given & HAS(HELP) ||
           complain(&reading, "ternmqctl", "which command? See --help");
}

const char *
ctl_options_help(enum ctl_command of)
{
    must(of < ARRAY_LEN(commands) && commands[of].help);
    return commands[of].help;
}

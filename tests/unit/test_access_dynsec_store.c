// test_access_dynsec_store.c - what is kept, what a file brings, who may come, and what rules are
// made of it.
#include "core/access.h"
#include "core/access/verified.h"
#include "test_access_dynsec.h"

// ---- A store, as a table of settings ------------------------------------------------------------

#define STORE_MAX 100u

struct table {
    struct dynsec_setting rows[STORE_MAX];
    uint32_t count;
};

static void
table_free(struct table *table)
{
    for (uint32_t i = 0; i < table->count; i++) {
        mem_free(unconst(table->rows[i].name.data));
        mem_free(unconst(table->rows[i].value.data));
    }
    table->count = 0;
}

static void
keep(struct table *table, const struct dynsec_settings *settings)
{
    for (uint32_t i = 0; i < settings->count; i++) {
        const struct dynsec_setting *setting = &settings->list[i];
        uint32_t at = 0;
        while (at < table->count && !slice_equal(table->rows[at].name, setting->name))
            at++;
        if (at < table->count) { // out with the old one
            mem_free(unconst(table->rows[at].name.data));
            mem_free(unconst(table->rows[at].value.data));
            table->rows[at] = table->rows[--table->count];
        }
        if (setting->value.len == 0)
            continue;
        cr_assert(table->count < STORE_MAX);
        table->rows[table->count++] = (struct dynsec_setting){
            slice_of(mem_strndup(setting->name.data, setting->name.len), setting->name.len),
            slice_of(mem_strndup(setting->value.data, setting->value.len), setting->value.len)};
    }
}

static void
change(struct dynsec *dynsec, struct table *table, const char *payload)
{
    struct dynsec_outcome outcome;
    char *reply = execute(dynsec, payload, &outcome);
    cr_assert(!strstr(reply, "error"), "%s", reply);
    cr_assert(outcome.rules && outcome.log);
    keep(table, &outcome.settings);
    dynsec_outcome_free(&outcome);
    mem_free(reply);
}

static struct dynsec *
again(const struct table *table)
{
    char problem[200];
    struct dynsec *dynsec = fresh();
    cr_assert_eq(dynsec_load(dynsec, table->rows, table->count, problem, sizeof problem), OK, "%s",
                 problem);
    return dynsec;
}

static const char everything[] =
    "{'commands':[{'command':'listClients','verbose':true},{'command':'listGroups','verbose':true},"
    "{'command':'listRoles','verbose':true},{'command':'getDefaultACLAccess'},"
    "{'command':'getAnonymousGroup'}]}";

static void
are_alike(struct dynsec *one, struct dynsec *other)
{
    char *a = execute(one, everything, NULL), *b = execute(other, everything, NULL);
    cr_assert_str_eq(a, b);
    mem_free(a);
    mem_free(b);
}

static const char example[] =
    "{'commands':[{'command':'createRole','rolename':'r','textname':'\\u00e4\\\"','acls':["
    "{'acltype':'publishClientSend','topic':'a/#','priority':-3,'allow':true},"
    "{'acltype':'subscribePattern','topic':'b/#','allow':true}]},"
    "{'command':'createRole','rolename':'s'},"
    "{'command':'createGroup','groupname':'g','roles':[{'rolename':'s','priority':4}]},"
    "{'command':'createGroup','groupname':'h'},"
    "{'command':'createClient','username':'u','password':'secret','clientid':'c','roles':["
    "{'rolename':'r'},{'rolename':'s','priority':2}],'groups':[{'groupname':'h','priority':7},"
    "{'groupname':'g'}]},{'command':'createClient','username':'v'},"
    "{'command':'disableClient','username':'v'},"
    "{'command':'setAnonymousGroup','groupname':'g'},"
    "{'command':'setDefaultACLAccess','acls':[{'acltype':'unsubscribe','allow':true}]}]}";

Test(dynsec_store, what_was_changed_is_there_again)
{
    uint64_t mark;
    struct table table = {.count = 0};
    struct dynsec *dynsec = fresh();
    change(dynsec, &table, example);
    cr_assert_eq(table.count, 7);
    struct dynsec *loaded = again(&table);
    are_alike(dynsec, loaded);
    cr_assert_eq(come(loaded, "u", "c", "secret", &mark), OK);
    cr_assert_eq(come(loaded, "v", "c", "", &mark), ERR_NOT_AUTHORIZED);
    dynsec_free(loaded);
    dynsec_free(dynsec);
    table_free(&table);
}

Test(dynsec_store, a_payload_stores_each_thing_once_and_as_it_is_in_the_end)
{
    struct table table = {.count = 0};
    struct dynsec_outcome outcome;
    struct dynsec *dynsec = fresh();
    char *reply = execute(dynsec,
                          "{'commands':[{'command':'createClient','username':'u'},"
                          "{'command':'disableClient','username':'u'},"
                          "{'command':'createClient','username':'w'},"
                          "{'command':'deleteClient','username':'w'}]}",
                          &outcome);
    cr_assert_eq(outcome.settings.count, 2);
    cr_assert(slice_equal(outcome.settings.list[0].name, slice_str("dynsec/client/u")));
    cr_assert(outcome.settings.list[0].value.len > 0);
    cr_assert(slice_equal(outcome.settings.list[1].name, slice_str("dynsec/client/w")));
    cr_assert_eq(outcome.settings.list[1].value.len, 0);
    cr_assert_str_eq(outcome.log,
                     "createClient u, disableClient u, createClient w, deleteClient w");
    keep(&table, &outcome.settings);
    dynsec_outcome_free(&outcome);
    mem_free(reply);
    struct dynsec *loaded = again(&table);
    are_alike(dynsec, loaded);
    dynsec_free(loaded);
    dynsec_free(dynsec);
    table_free(&table);
}

// A role or a group is deleted with one setting, and what still names it must not find a later one.
Test(dynsec_store, a_later_role_of_the_same_name_is_another)
{
    struct table table = {.count = 0};
    struct dynsec *dynsec = fresh();
    change(dynsec, &table, example);
    change(dynsec, &table,
           "{'commands':[{'command':'deleteRole','rolename':'s'},"
           "{'command':'deleteGroup','groupname':'h'},"
           "{'command':'createRole','rolename':'s'},{'command':'createGroup','groupname':'h'}]}");
    struct dynsec *loaded = again(&table);
    are_alike(dynsec, loaded);
    dynsec_free(loaded);
    dynsec_free(dynsec);
    table_free(&table);
}

Test(dynsec_store, settings_that_are_none_are_named_and_nothing_is_taken)
{
    char problem[200];
    struct dynsec *dynsec = fresh();
    static const char *const bad[][2] = {
        {"dynsec/client/u", "{"},
        {"dynsec/client/u", "{\"username\":\"\"}"},
        {"dynsec/client/u", "{\"username\":\"u\",\"password\":\"x\",\"salt\":\"x\"}"},
        {"dynsec/general", "["},
        {"dynsec/role/r", "{}"},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct dynsec_setting list[] = {
            {slice_str("dynsec/group/g"), slice_str("{\"groupname\":\"g\"}")},
            {slice_str(bad[i][0]), slice_str(bad[i][1])}};
        cr_assert_eq(dynsec_load(dynsec, list, 2, problem, sizeof problem), ERR_CONFIG);
        cr_assert(strstr(problem, bad[i][0]), "%s", problem);
        cr_assert(dynsec_is_empty(dynsec));
    }
    dynsec_free(dynsec);
}

// ---- A file -------------------------------------------------------------------------------------

// What `mosquitto_ctrl dynsec init` 2.0.11 makes, "textName" included. The password is "secret".
static const char made_by_init[] =
    "{'clients':[{'username':'admin','textName':'Dynsec admin user','password':"
    "'EO/lLlkeUgIiBaS8G8UK0ZMP1u508TA7Tl+AdJ1cEsmlbGyEPAERErpfq84j1kepISs0UzmcdL4ucgZ2uodxfQ==',"
    "'salt':'MDEyMzQ1Njc4OWFi','iterations':101,'roles':[{'rolename':'admin'}]}],"
    "'roles':[{'rolename':'admin','acls':["
    "{'acltype':'publishClientSend','topic':'$CONTROL/dynamic-security/#','allow':true},"
    "{'acltype':'subscribePattern','topic':'#','allow':true},"
    "{'acltype':'unsubscribePattern','topic':'#','allow':true}]}],"
    "'defaultACLAccess':{'publishClientSend':false,'publishClientReceive':true,"
    "'subscribe':false,'unsubscribe':true}}";

static err_t
import(struct dynsec *dynsec, const char *text, struct dynsec_import *ret, char problem[200])
{
    char *file = quoted(text);
    err_t err = dynsec_import(dynsec, slice_str(file), ret, problem, 200);
    mem_free(file);
    return err;
}

Test(dynsec_store, the_file_that_init_makes_is_taken)
{
    uint64_t mark;
    char problem[200];
    struct dynsec_import done;
    struct table table = {.count = 0};
    struct dynsec *dynsec = fresh();
    cr_assert_eq(import(dynsec, made_by_init, &done, problem), OK);
    cr_assert(done.clients == 1 && done.roles == 1 && done.groups == 0 && done.skipped == 0);
    cr_assert_eq(come(dynsec, "admin", "x", "secret", &mark), OK);
    cr_assert_eq(come(dynsec, "admin", "x", "secre", &mark), ERR_NOT_AUTHORIZED);
    SAYS("{'command':'getClient','username':'admin'}",
         "{'command':'getClient','data':{'client':{'username':'admin','textname':"
         "'Dynsec admin user','roles':[{'rolename':'admin'}],'groups':[]}}}");
    keep(&table, &done.settings);
    dynsec_settings_free(&done.settings);
    struct dynsec *loaded = again(&table);
    are_alike(dynsec, loaded);
    dynsec_free(loaded);
    dynsec_free(dynsec);
    table_free(&table);
}

Test(dynsec_store, in_a_file_groups_name_their_clients_and_what_is_none_is_counted)
{
    char problem[200];
    struct dynsec_import done;
    struct dynsec *dynsec = fresh();
    cr_assert_eq(
        import(dynsec,
               "{'clients':[{'username':'u','roles':[{'rolename':'r','priority':3},"
               "{'rolename':'ghost'}]},{'username':''},3],"
               "'groups':[{'groupname':'g','clients':[{'username':'u','priority':2},"
               "{'username':'ghost'}]}],"
               "'roles':[{'rolename':'r','acls':[{'acltype':'x','topic':'a'},"
               "{'acltype':'publishClientSend','topic':'','allow':true}]},{'rolename':'r'}],"
               "'anonymousGroup':'g'}",
               &done, problem),
        OK);
    cr_assert(done.clients == 1 && done.groups == 1 && done.roles == 1);
    cr_assert_eq(done.skipped, 6);
    dynsec_settings_free(&done.settings);
    SAYS("{'command':'getClient','username':'u'},{'command':'getAnonymousGroup'}",
         "{'command':'getClient','data':{'client':{'username':'u','roles':[{'rolename':'r',"
         "'priority':3}],'groups':[{'groupname':'g','priority':2}]}}},"
         "{'command':'getAnonymousGroup','data':{'group':{'groupname':'g'}}}");
    acl_unref(dynsec_compile(dynsec)); // the topic that is none harms nobody
    dynsec_free(dynsec);
}

Test(dynsec_store, a_file_that_is_none_is_refused)
{
    char problem[200];
    struct dynsec_import done;
    struct dynsec *dynsec = fresh();
    static const char *const bad[][2] = {
        {"", "line 1, column 0 is not JSON"},
        {"[]", "it is no object"},
        {"{'clients':[],\n'clients':[]}", "line 2 has a name twice in one object"},
        {"[[[[[[[[[[[[[[[[[[[[", "it nests deeper than 16 levels"},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        cr_assert_eq(import(dynsec, bad[i][0], &done, problem), ERR_CONFIG);
        cr_assert(strstr(problem, bad[i][1]), "%s", problem);
    }
    dynsec_free(dynsec);
}

// ---- Who may come -------------------------------------------------------------------------------

#define DO(text) DOES("{'command':" text "}")

static uint64_t
mark_of(struct dynsec *dynsec, const char *name)
{
    struct access_users *users = access_users_new();
    dynsec_add_users(dynsec, users);
    uint64_t mark = access_users_mark(users, slice_str(name));
    access_users_unref(users);
    return mark;
}

Test(dynsec_store, passwords_client_identifiers_and_disabled_clients)
{
    uint64_t mark = 0;
    struct dynsec *dynsec = fresh();
    DO("'createClient','username':'u','password':'p','clientid':'c'");
    DO("'createClient','username':'none'");
    DO("'createClient','username':'empty','password':''");
    cr_assert_eq(come(dynsec, "u", "c", "p", &mark), OK);
    cr_assert_eq(mark, mark_of(dynsec, "u"));
    cr_assert_eq(come(dynsec, "u", "d", "p", &mark), ERR_NOT_AUTHORIZED);
    cr_assert_eq(come(dynsec, "u", "c", "P", &mark), ERR_NOT_AUTHORIZED);
    cr_assert_eq(come(dynsec, "u", "c", "", &mark), ERR_NOT_AUTHORIZED);
    cr_assert_eq(come(dynsec, "none", "c", "", &mark), ERR_NOT_AUTHORIZED);
    cr_assert_eq(come(dynsec, "empty", "c", "", &mark), ERR_NOT_AUTHORIZED);
    cr_assert_eq(come(dynsec, "nobody", "c", "p", &mark), ERR_NOT_FOUND);
    cr_assert_eq(come(dynsec, "", "c", "p", &mark), ERR_NOT_FOUND);
    DO("'disableClient','username':'u'");
    cr_assert_eq(come(dynsec, "u", "c", "p", &mark), ERR_NOT_AUTHORIZED);
    cr_assert(mark_of(dynsec, "u") != 0 &&
              mark_of(dynsec, "u") != mark); // its session stays its own
    mark = mark_of(dynsec, "u");
    DO("'enableClient','username':'u'");
    cr_assert_eq(come(dynsec, "u", "c", "p", &mark), OK);
    DO("'setClientPassword','username':'u','password':'q'");
    cr_assert_eq(come(dynsec, "u", "c", "p", &mark), ERR_NOT_AUTHORIZED);
    cr_assert_eq(come(dynsec, "u", "c", "q", &mark), OK);
    DO("'modifyClient','username':'u','password':'r','clientid':''");
    cr_assert_eq(come(dynsec, "u", "x", "r", &mark), OK);
    DO("'modifyClient','username':'u','password':''"); // as it was
    cr_assert_eq(come(dynsec, "u", "x", "r", &mark), OK);
    DO("'deleteClient','username':'u'");
    cr_assert_eq(come(dynsec, "u", "x", "r", &mark), ERR_NOT_FOUND);
    dynsec_free(dynsec);
}

Test(dynsec_store, what_was_verified_for_an_old_password_is_of_no_use_for_a_new_one)
{
    uint64_t mark;
    struct verified *verified;
    struct dynsec *dynsec = fresh();
    cr_assert_eq(verified_new(16, 1000, &verified), OK);
    struct dynsec_login login = {slice_str("u"), slice_str("c"), slice_str("p")};
    DO("'createClient','username':'u','password':'p'");
    for (int i = 0; i < 2; i++)
        cr_assert_eq(dynsec_check(dynsec, &login, verified, 1, &mark), OK);
    DO("'setClientId','username':'u','clientid':'d'");
    cr_assert_eq(dynsec_check(dynsec, &login, verified, 1, &mark), ERR_NOT_AUTHORIZED);
    DO("'setClientId','username':'u','clientid':''");
    cr_assert_eq(dynsec_check(dynsec, &login, verified, 1, &mark), OK);
    DO("'setClientPassword','username':'u','password':'q'");
    cr_assert_eq(dynsec_check(dynsec, &login, verified, 1, &mark), ERR_NOT_AUTHORIZED);
    DO("'deleteClient','username':'u'");
    DO("'createClient','username':'u','password':'q'");
    cr_assert_eq(dynsec_check(dynsec, &login, verified, 1, &mark), ERR_NOT_AUTHORIZED);
    verified_free(verified);
    dynsec_free(dynsec);
}

// Who has to come again after each command: those that mosquitto disconnects.
Test(dynsec_store, marks_change_when_a_client_has_to_come_again)
{
    struct dynsec *dynsec = fresh();
    DO("'createRole','rolename':'r'");
    DO("'createRole','rolename':'s'");
    DO("'createGroup','groupname':'g','roles':[{'rolename':'s'}]");
    DO("'createGroup','groupname':'a'");
    DO("'createClient','username':'u','password':'p','groups':[{'groupname':'g'}]");
    DO("'createClient','username':'w','password':'p','roles':[{'rolename':'r'}]");
    DO("'createClient','username':'x','password':'p'");
    DO("'setAnonymousGroup','groupname':'a'");
    static const struct {
        const char *command, *again; // those that have to
    } steps[] = {
        {"{'command':'getClient','username':'u'}", ""},
        {"{'command':'createClient','username':'y'}", ""},
        {"{'command':'disableClient','username':'u'}", "u"},
        {"{'command':'enableClient','username':'u'}", ""},
        {"{'command':'setClientPassword','username':'u','password':'q'}", "u"},
        {"{'command':'setClientId','username':'x','clientid':'q'}", "x"},
        {"{'command':'modifyClient','username':'x','textname':'q'}", "x"},
        {"{'command':'addClientRole','username':'x','rolename':'r'}", "x"},
        {"{'command':'addRoleACL','rolename':'r','acltype':'subscribeLiteral','topic':'a'}", "wx"},
        {"{'command':'removeRoleACL','rolename':'r','acltype':'subscribeLiteral','topic':'a'}",
         "wx"},
        {"{'command':'modifyRole','rolename':'s','textname':'a'}", "u"},
        {"{'command':'removeClientRole','username':'x','rolename':'r'}", "x"},
        {"{'command':'removeClientRole','username':'x','rolename':'r'}", ""},
        {"{'command':'addGroupClient','username':'x','groupname':'g'}", "x"},
        {"{'command':'addGroupRole','groupname':'g','rolename':'r'}", "ux"},
        {"{'command':'modifyGroup','groupname':'g','textname':'t'}", "ux"},
        {"{'command':'modifyGroup','groupname':'g','clients':[{'username':'w'}]}", "uwx"},
        {"{'command':'removeGroupClient','username':'w','groupname':'g'}", "w"},
        {"{'command':'addGroupRole','groupname':'a','rolename':'r'}", ""},
        {"{'command':'modifyRole','rolename':'r','acls':[]}", "w"},
        {"{'command':'setDefaultACLAccess','acls':[]}", ""},
        {"{'command':'deleteRole','rolename':'r'}", "w"},
        {"{'command':'addGroupClient','username':'u','groupname':'g'}", "u"},
        {"{'command':'deleteGroup','groupname':'g'}", "u"},
        {"{'command':'setAnonymousGroup','groupname':'a'}", ""},
        {"{'command':'deleteClient','username':'u'}", "u"},
    };
    static const char *const names[] = {"u", "w", "x"};
    uint64_t marks[ARRAY_LEN(names)];
    for (size_t n = 0; n < ARRAY_LEN(names); n++)
        marks[n] = mark_of(dynsec, names[n]);
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        char payload[300];
        (void)snprintf(payload, sizeof payload, "{'commands':[%s]}", steps[i].command);
        char *reply = execute(dynsec, payload, NULL);
        cr_assert(!strstr(reply, "error"), "%s", reply);
        mem_free(reply);
        for (size_t n = 0; n < ARRAY_LEN(names); n++) {
            uint64_t mark = mark_of(dynsec, names[n]);
            bool again = strchr(steps[i].again, names[n][0]) != NULL;
            cr_assert_eq(mark != marks[n], again, "%s: '%s'", steps[i].command, names[n]);
            marks[n] = mark;
        }
    }
    dynsec_free(dynsec);
}

Test(dynsec_store, an_administrator_learns_the_mark_of_its_own_entry)
{
    struct dynsec_outcome outcome;
    struct dynsec *dynsec = fresh();
    DO("'createClient','username':'admin','password':'p'");
    char *reply = execute(dynsec,
                          "{'commands':[{'command':'setClientPassword','username':'admin',"
                          "'password':'q'}]}",
                          &outcome);
    cr_assert_eq(outcome.mark, mark_of(dynsec, "admin"));
    dynsec_outcome_free(&outcome);
    mem_free(reply);
    reply =
        execute(dynsec, "{'commands':[{'command':'disableClient','username':'admin'}]}", &outcome);
    cr_assert_eq(outcome.mark, 0);
    dynsec_outcome_free(&outcome);
    mem_free(reply);
    dynsec_free(dynsec);
}

// ---- Rules --------------------------------------------------------------------------------------

static bool
may(struct dynsec *dynsec, const char *user, enum acl_action action, const char *topic)
{
    struct acl *acl = dynsec_compile(dynsec);
    struct slice name = user ? slice_str(user) : slice_of(NULL, 0);
    struct rights *rights = rights_new(acl, name, slice_str("id"));
    bool allowed = action == ACL_PUBLISH || action == ACL_RECEIVE
                       ? rights_allow(rights, action, slice_str(topic))
                       : rights_allow_filter(rights, action, slice_str(topic));
    rights_free(rights);
    acl_unref(acl);
    return allowed;
}

static void
set_role(struct dynsec *dynsec, const char *name, const char *acls)
{
    char command[1000];
    (void)snprintf(command, sizeof command, "{'command':'createRole','rolename':'%s','acls':[%s]}",
                   name, acls);
    DOES(command);
}

#define RULE(type, topic, allow, priority) \
    "{'acltype':'" type "','topic':'" topic "','allow':" allow ",'priority':" priority "}"

Test(dynsec_store, own_roles_come_before_those_of_groups_and_the_first_rule_decides)
{
    struct dynsec *dynsec = fresh();
    set_role(dynsec, "yes", RULE("publishClientSend", "t/1", "true", "0"));
    set_role(dynsec, "no", RULE("publishClientSend", "t/#", "false", "0"));
    set_role(dynsec, "mixed",
             RULE("publishClientSend", "t/#", "false", "1") "," RULE("publishClientSend", "t/1",
                                                                     "true", "2"));
    DO("'createGroup','groupname':'first','roles':[{'rolename':'yes'}]");
    DO("'createGroup','groupname':'second','roles':[{'rolename':'no'}]");
    DO("'createClient','username':'u'");
    cr_assert(!may(dynsec, "u", ACL_PUBLISH, "t/1"));
    // Equal priorities: "no" stands before "yes".
    DO("'modifyClient','username':'u','roles':[{'rolename':'yes'},{'rolename':'no'}]");
    cr_assert(!may(dynsec, "u", ACL_PUBLISH, "t/1"));
    DO("'modifyClient','username':'u','roles':[{'rolename':'yes','priority':1},"
       "{'rolename':'no'}]");
    cr_assert(may(dynsec, "u", ACL_PUBLISH, "t/1"));
    cr_assert(!may(dynsec, "u", ACL_PUBLISH, "t/2"));
    DO("'modifyClient','username':'u','roles':[],'groups':[{'groupname':'second','priority':1},"
       "{'groupname':'first'}]");
    cr_assert(!may(dynsec, "u", ACL_PUBLISH, "t/1"));
    DO("'modifyClient','username':'u','groups':[{'groupname':'second'},{'groupname':'first'}]");
    cr_assert(may(dynsec, "u", ACL_PUBLISH, "t/1"));
    // The role's own priority in a group does not lift it above the client's own roles.
    DO("'addGroupRole','groupname':'first','rolename':'mixed','priority':100");
    DO("'addClientRole','username':'u','rolename':'no','priority':-100");
    cr_assert(!may(dynsec, "u", ACL_PUBLISH, "t/1"));
    DO("'removeClientRole','username':'u','rolename':'no'");
    cr_assert(may(dynsec, "u", ACL_PUBLISH, "t/1"));
    cr_assert(!may(dynsec, "u", ACL_PUBLISH, "t/2"));
    dynsec_free(dynsec);
}

Test(dynsec_store, control_topics_are_given_by_a_rule_alone)
{
    struct dynsec *dynsec = fresh();
    DO("'setDefaultACLAccess','acls':[{'acltype':'publishClientSend','allow':true},"
       "{'acltype':'publishClientReceive','allow':true},{'acltype':'subscribe','allow':true}]");
    set_role(dynsec, "admin",
             RULE("publishClientSend", "$CONTROL/dynamic-security/#", "true", "0"));
    DO("'createClient','username':'u'");
    cr_assert(may(dynsec, "u", ACL_PUBLISH, "a"));
    cr_assert(!may(dynsec, "u", ACL_PUBLISH, DYNSEC_TOPIC));
    cr_assert(!may(dynsec, "u", ACL_SUBSCRIBE, "$CONTROL/#"));
    cr_assert(!may(dynsec, "u", ACL_RECEIVE, DYNSEC_RESPONSE_TOPIC));
    cr_assert(!may(dynsec, NULL, ACL_PUBLISH, DYNSEC_TOPIC));
    cr_assert(!may(dynsec, "stranger", ACL_PUBLISH, DYNSEC_TOPIC));
    DO("'addClientRole','username':'u','rolename':'admin'");
    cr_assert(may(dynsec, "u", ACL_PUBLISH, DYNSEC_TOPIC));
    dynsec_free(dynsec);
}

Test(dynsec_store, those_without_a_name_have_what_their_group_has)
{
    struct dynsec *dynsec = fresh();
    set_role(dynsec, "r", RULE("subscribePattern", "news/#", "true", "0"));
    DO("'createGroup','groupname':'g','roles':[{'rolename':'r'}]");
    cr_assert(!may(dynsec, NULL, ACL_SUBSCRIBE, "news/a"));
    DO("'setAnonymousGroup','groupname':'g'");
    cr_assert(may(dynsec, NULL, ACL_SUBSCRIBE, "news/a"));
    cr_assert(!may(dynsec, "stranger", ACL_SUBSCRIBE, "news/a"));
    dynsec_free(dynsec);
}

// Each line was asked of mosquitto 2.0.11, but for %u and %c, which came later.
Test(dynsec_store, rules_about_filters)
{
    static const struct {
        const char *type, *rule, *filter;
        bool matches;
    } lines[] = {
        {"subscribePattern", "#", "$SYS/#", true},
        {"subscribePattern", "+/a", "$SYS/a", true},
        {"subscribePattern", "$SYS/#", "$SYS/+/b", true},
        {"subscribePattern", "a/#", "a", true},
        {"subscribePattern", "a/#", "a/#", true},
        {"subscribePattern", "a/#", "a/+/b", true},
        {"subscribePattern", "a/+", "a/#", false},
        {"subscribePattern", "a/+", "a/b", true},
        {"subscribePattern", "a/+", "a/+", true},
        {"subscribePattern", "+", "#", false},
        {"subscribePattern", "#", "#", true},
        {"subscribePattern", "#", "+/+", true},
        {"subscribePattern", "a/b", "a/b", true},
        {"subscribePattern", "a/b", "a/+", false},
        {"subscribePattern", "a/b", "#", false},
        {"subscribePattern", "a/#", "#", false},
        {"subscribePattern", "$share/g/a/b", "a/b", true}, // the broker asks for what is inside
        {"subscribePattern", "$share/+/a/b", "a/b", true},
        {"subscribePattern", "$share/#", "a/b", true},
        {"subscribePattern", "a/+/#", "a/b", true},
        {"subscribePattern", "a/+/#", "a", false},
        {"subscribePattern", "+/#", "a", true},
        {"subscribePattern", "a//b", "a//b", true},
        {"subscribePattern", "a/+/b", "a//b", true},
        {"subscribePattern", "/#", "/a", true},
        {"subscribePattern", "+/+", "/a", true},
        {"subscribePattern", "a/#/", "a/b", false},
        {"subscribePattern", "%u/%c/#", "u/id/+", true},
        {"subscribePattern", "%u/%c/#", "u/other/+", false},
        {"subscribeLiteral", "a/+", "a/+", true},
        {"subscribeLiteral", "a/+", "a/b", false},
        {"subscribeLiteral", "$share/g/a", "a", true},
        {"subscribeLiteral", "%u", "u", false},
    };
    for (size_t i = 0; i < 2 * ARRAY_LEN(lines); i++) {
        const char *type = lines[i / 2].type, *filter = lines[i / 2].filter;
        bool allow = i % 2;
        char acl[200], command[200];
        struct dynsec *dynsec = fresh();
        (void)snprintf(acl, sizeof acl, "{'acltype':'%s','topic':'%s','allow':%s}", type,
                       lines[i / 2].rule, allow ? "true" : "false");
        set_role(dynsec, "r", acl);
        (void)snprintf(command, sizeof command,
                       "{'command':'setDefaultACLAccess','acls':[{'acltype':'subscribe',"
                       "'allow':%s}]}",
                       allow ? "false" : "true");
        DOES(command);
        DO("'createClient','username':'u','roles':[{'rolename':'r'}]");
        cr_expect_eq(may(dynsec, "u", ACL_SUBSCRIBE, filter), lines[i / 2].matches == allow,
                     "%s %s, %s", allow ? "allow" : "deny", lines[i / 2].rule, filter);
        dynsec_free(dynsec);
    }
}

Test(dynsec_store, in_a_role_literal_filters_come_before_patterns)
{
    struct dynsec *dynsec = fresh();
    set_role(dynsec, "r",
             RULE("subscribePattern", "x/#", "false", "9") "," RULE("subscribeLiteral", "x/y",
                                                                    "true", "0"));
    DO("'createClient','username':'u','roles':[{'rolename':'r'}]");
    cr_assert(may(dynsec, "u", ACL_SUBSCRIBE, "x/y"));
    cr_assert(!may(dynsec, "u", ACL_SUBSCRIBE, "x/z"));
    dynsec_free(dynsec);
}

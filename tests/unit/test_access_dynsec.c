// test_access_dynsec.c - commands of administrators, and their responses.
//
// Responses as mosquitto's plugin 2.0.11 gave them to the same commands, but where it ends by a
// signal or says that it did what it did not do.
#include "test_access_dynsec.h"

#include "core/access.h"

// ---- Payloads -----------------------------------------------------------------------------------

static void
answers(struct dynsec *dynsec, const char *payload, const char *want)
{
    char *reply = execute(dynsec, payload, NULL), *expected = quoted(want);
    cr_expect_str_eq(reply, expected, "%s", payload);
    mem_free(reply);
    mem_free(expected);
}

Test(dynsec, what_is_no_payload_of_commands_is_told)
{
    struct dynsec *dynsec = fresh();
    static const struct {
        const char *payload, *error;
    } bad[] = {
        {"", "Payload not valid JSON"},
        {"{", "Payload not valid JSON"},
        {"{'commands':[]} trailing", "Payload not valid JSON"},
        {"{'commands':[],'commands':[]}", "Payload not valid JSON"},
        {"{'commands':[{'command':'listClients','command':'listRoles'}]}",
         "Payload not valid JSON"},
        {"{'commands':['\\u0000']}", "Payload not valid JSON"},
        {"{'commands':['\xff']}", "Payload not valid JSON"},
        {"{'commands':[1e999]}", "Payload not valid JSON"},
        {"[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]", "Payload not valid JSON"},
        {"[]", "Invalid/missing commands"},
        {"3", "Payload not valid JSON"},
        {"{}", "Invalid/missing commands"},
        {"{'commands':1}", "Invalid/missing commands"},
        {"{'commands':{}}", "Invalid/missing commands"},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        char want[200];
        (void)snprintf(want, sizeof want,
                       "{'responses':[{'command':'Unknown command','error':'%s'}]}", bad[i].error);
        answers(dynsec, bad[i].payload, want);
    }
    answers(dynsec, "{'commands':[]}", "{'responses':[]}");
    answers(dynsec, "[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]",
            "{'responses':[{'command':'Unknown command','error':'Invalid/missing commands'}]}");
    dynsec_free(dynsec);
}

Test(dynsec, a_quote_or_a_bracket_in_a_text_is_no_nesting)
{
    struct dynsec *dynsec = fresh();
    DOES("{'command':'createRole','rolename':'[[[[[[[[[[{{{{{{\\\"[[[[[[\\\\'}");
    SAYS("{'command':'listRoles'}", "{'command':'listRoles','data':{'totalCount':1,'roles':["
                                    "'[[[[[[[[[[{{{{{{\\\"[[[[[[\\\\']}}");
    dynsec_free(dynsec);
}

Test(dynsec, what_is_no_command_is_told_and_the_others_are_done)
{
    struct dynsec *dynsec = fresh();
    SAYS("1,'x',{'command':'listClients'}",
         "{'command':'Unknown command','error':'Command not an object'},"
         "{'command':'Unknown command','error':'Command not an object'},"
         "{'command':'listClients','data':{'totalCount':0,'clients':[]}}");
    SAYS("{'x':1}", "{'command':'Unknown command','error':'Missing command'}");
    SAYS("{'command':3,'correlationData':'q'}",
         "{'command':'Unknown command','error':'Missing command'}");
    SAYS("{'command':'nope','correlationData':'q'}",
         "{'command':'nope','error':'Unknown command','correlationData':'q'}");
    SAYS("{'command':'listClients','correlationData':4}",
         "{'command':'listClients','error':'Invalid correlationData data type.'}");
    dynsec_free(dynsec);
}

Test(dynsec, names_of_commands_and_fields_go_in_any_case)
{
    struct dynsec *dynsec = fresh();
    answers(dynsec, "{'Commands':[{'COMMAND':'LISTclients','correlationdata':'c'}]}",
            "{'responses':[{'command':'listClients','data':{'totalCount':0,'clients':[]},"
            "'correlationData':'c'}]}");
    dynsec_free(dynsec);
}

Test(dynsec, payloads_have_limits)
{
    struct dynsec *dynsec = fresh();
    size_t size = DYNSEC_PAYLOAD_MAX + 2;
    char *large = mem_alloc(size);
    memset(large, ' ', size - 1);
    large[size - 1] = '\0';
    answers(dynsec, large,
            "{'responses':[{'command':'Unknown command','error':'Payload too large'}]}");
    char *end = stpcpy(large, "{'commands':[0");
    for (uint32_t i = 0; i < DYNSEC_COMMANDS_MAX; i++)
        end = stpcpy(end, ",0");
    (void)stpcpy(end, "]}");
    answers(dynsec, large,
            "{'responses':[{'command':'Unknown command','error':'Too many commands'}]}");
    mem_free(large);
    dynsec_free(dynsec);
}

// ---- Clients ------------------------------------------------------------------------------------

#define NAMED(command, more) "{'command':'" command "','username':'u'" more "}"

Test(dynsec, clients_are_created_and_told)
{
    struct dynsec *dynsec = fresh();
    DOES("{'command':'createRole','rolename':'r'}");
    DOES("{'command':'createGroup','groupname':'g'}");
    FAILS("{'command':'createClient'}", "Invalid/missing username");
    FAILS("{'command':'createClient','username':1}", "Invalid/missing username");
    FAILS("{'command':'createClient','username':''}", "Empty username");
    FAILS("{'command':'createClient','username':'a\\tb'}", "Username not valid UTF-8");
    FAILS("{'command':'createClient','username':'a\\u0085b'}", "Username not valid UTF-8");
    FAILS(NAMED("createClient", ",'password':1"), "Invalid/missing password");
    FAILS(NAMED("createClient", ",'clientid':1"), "Invalid/missing client id");
    FAILS(NAMED("createClient", ",'clientid':'\\n'"), "Client ID not valid UTF-8");
    FAILS(NAMED("createClient", ",'textname':1"), "Invalid/missing textname");
    FAILS(NAMED("createClient", ",'textdescription':1"), "Invalid/missing textdescription");
    FAILS(NAMED("createClient", ",'roles':3"), "'roles' not an array or missing/invalid rolename");
    FAILS(NAMED("createClient", ",'roles':['r']"),
          "'roles' not an array or missing/invalid rolename");
    FAILS(NAMED("createClient", ",'roles':[{'rolename':'r'},{'rolename':'q'}]"), "Role not found");
    FAILS(NAMED("createClient", ",'groups':3"), "'groups' not an array");
    FAILS(NAMED("createClient", ",'groups':['g']"),
          "'groups' contains an object with an invalid 'groupname'");
    FAILS(NAMED("createClient", ",'groups':[{'groupname':'g'},{'groupname':'q'}]"),
          "Group not found");
    DOES(NAMED("createClient", ",'password':'x','clientid':'c','textname':'n','textdescription':'',"
                               "'roles':[{'rolename':'r','priority':3},{'rolename':'r'}],"
                               "'groups':[{'groupname':'g','priority':-4},{'groupname':'g'}]"));
    FAILS(NAMED("createClient", ""), "Client already exists");
    SAYS("{'command':'getClient','username':'u','correlationData':'d'}",
         "{'command':'getClient','data':{'client':{'username':'u','clientid':'c','textname':'n',"
         "'textdescription':'','roles':[{'rolename':'r','priority':3}],"
         "'groups':[{'groupname':'g','priority':-4}]}},'correlationData':'d'}");
    SAYS("{'command':'getClient','username':'q','correlationData':'d'}",
         "{'command':'getClient','error':'Client not found','correlationData':'d'}");
    FAILS("{'command':'getClient'}", "Invalid/missing username");
    SAYS("{'command':'getGroup','groupname':'g'}",
         "{'command':'getGroup','data':{'group':{'groupname':'g','clients':[{'username':'u'}],"
         "'roles':[]}}}");
    dynsec_free(dynsec);
}

Test(dynsec, clients_are_changed)
{
    struct dynsec *dynsec = fresh();
    DOES("{'command':'createRole','rolename':'r'}");
    DOES("{'command':'createGroup','groupname':'g'}");
    DOES("{'command':'createGroup','groupname':'h'}");
    DOES(NAMED("createClient", ",'groups':[{'groupname':'g'}]"));
    FAILS("{'command':'modifyClient','username':'q'}", "Client not found");
    FAILS(NAMED("modifyClient", ",'roles':[{'rolename':'q'}]"), "Role not found");
    FAILS(NAMED("modifyClient", ",'roles':3"), "'roles' not an array or missing/invalid rolename");
    FAILS(NAMED("modifyClient", ",'groups':[{'groupname':'q'}]"),
          "'groups' contains an object with a 'groupname' that does not exist");
    FAILS(NAMED("modifyClient", ",'groups':[{'q':'q'}]"),
          "'groups' contains an object with an invalid 'groupname'");
    FAILS(NAMED("modifyClient", ",'textname':1"), "Invalid/missing textname");
    DOES(NAMED("modifyClient", ",'textname':'A','textdescription':'B','clientid':'C','roles':["
                               "{'rolename':'r','priority':5}],'groups':[{'groupname':'h'}]"));
    SAYS(NAMED("getClient", ""),
         "{'command':'getClient','data':{'client':{'username':'u','clientid':'C','textname':'A',"
         "'textdescription':'B','roles':[{'rolename':'r','priority':5}],"
         "'groups':[{'groupname':'h'}]}}}");
    DOES(NAMED("modifyClient", ",'clientid':'','textname':'','roles':[],'groups':[]"));
    SAYS(NAMED("getClient", ""),
         "{'command':'getClient','data':{'client':{'username':'u','textname':'',"
         "'textdescription':'B','roles':[],'groups':[]}}}");
    FAILS("{'command':'setClientId','username':'q','clientid':'x'}", "Client not found");
    FAILS(NAMED("setClientId", ",'clientid':3"), "Invalid/missing client ID");
    DOES(NAMED("setClientId", ",'clientid':'x'"));
    DOES(NAMED("disableClient", ""));
    SAYS(NAMED("getClient", ""),
         "{'command':'getClient','data':{'client':{'username':'u','clientid':'x','textname':'',"
         "'textdescription':'B','disabled':true,'roles':[],'groups':[]}}}");
    DOES(NAMED("enableClient", ""));
    DOES(NAMED("setClientId", ""));
    SAYS(NAMED("getClient", ""),
         "{'command':'getClient','data':{'client':{'username':'u','textname':'',"
         "'textdescription':'B','roles':[],'groups':[]}}}");
    FAILS("{'command':'enableClient'}", "Invalid/missing username");
    FAILS("{'command':'enableClient','username':'q'}", "Client not found");
    FAILS("{'command':'disableClient','username':'q'}", "Client not found");
    FAILS("{'command':'deleteClient','username':'q'}", "Client not found");
    FAILS("{'command':'deleteClient','username':''}", "Client not found");
    DOES(NAMED("deleteClient", ""));
    FAILS(NAMED("getClient", ""), "Client not found");
    dynsec_free(dynsec);
}

Test(dynsec, roles_of_clients)
{
    struct dynsec *dynsec = fresh();
    DOES("{'command':'createRole','rolename':'b'}");
    DOES("{'command':'createRole','rolename':'a'}");
    DOES("{'command':'createRole','rolename':'c'}");
    DOES(NAMED("createClient", ""));
    FAILS("{'command':'addClientRole'}", "Invalid/missing username");
    FAILS(NAMED("addClientRole", ""), "Invalid/missing rolename");
    FAILS(NAMED("addClientRole", ",'rolename':'q'"), "Role not found");
    FAILS("{'command':'addClientRole','username':'q','rolename':'a'}", "Client not found");
    DOES(NAMED("addClientRole", ",'rolename':'b'"));
    DOES(NAMED("addClientRole", ",'rolename':'a','priority':-1"));
    DOES(NAMED("addClientRole", ",'rolename':'c','priority':7"));
    FAILS(NAMED("addClientRole", ",'rolename':'c'"), "Client is already in this role");
    SAYS(NAMED("getClient", ""),
         "{'command':'getClient','data':{'client':{'username':'u','roles':[{'rolename':'c',"
         "'priority':7},{'rolename':'a'},{'rolename':'b'}],'groups':[]}}}");
    FAILS(NAMED("removeClientRole", ""), "Invalid/missing rolename");
    FAILS(NAMED("removeClientRole", ",'rolename':'q'"), "Role not found");
    FAILS("{'command':'removeClientRole','username':'q','rolename':'a'}", "Client not found");
    DOES(NAMED("removeClientRole", ",'rolename':'c'"));
    DOES(NAMED("removeClientRole", ",'rolename':'c'")); // it is not there: fine
    DOES("{'command':'deleteRole','rolename':'a'}");
    SAYS(NAMED("getClient", ""), "{'command':'getClient','data':{'client':{'username':'u','roles':["
                                 "{'rolename':'b'}],'groups':[]}}}");
    dynsec_free(dynsec);
}

Test(dynsec, lists_are_sorted_and_come_in_parts)
{
    struct dynsec *dynsec = fresh();
    for (const char *name = "cadbe"; *name; name++) {
        char command[100];
        (void)snprintf(command, sizeof command, "{'command':'createClient','username':'%c'}",
                       *name);
        DOES(command);
    }
#define LIST(more)  "{'command':'listClients'" more "}"
#define TOLD(names) "{'command':'listClients','data':{'totalCount':5,'clients':[" names "]}}"
    SAYS(LIST(""), TOLD("'a','b','c','d','e'"));
    SAYS(LIST(",'count':2"), TOLD("'a','b'"));
    SAYS(LIST(",'count':2,'offset':1"), TOLD("'b','c'"));
    SAYS(LIST(",'count':0"), TOLD("'a'")); // as mosquitto
    SAYS(LIST(",'count':9,'offset':4"), TOLD("'e'"));
    SAYS(LIST(",'offset':5"), TOLD(""));
    SAYS(LIST(",'offset':100"), TOLD(""));
    SAYS(LIST(",'count':'1','offset':-3"), TOLD("'a','b','c','d','e'"));
    SAYS(LIST(",'count':1e30,'offset':-1e30"), TOLD("'a','b','c','d','e'"));
    SAYS(LIST(",'verbose':true,'count':1"), TOLD("{'username':'a','roles':[],'groups':[]}"));
    SAYS(LIST(",'verbose':'true','count':1"), TOLD("'a'"));
    dynsec_free(dynsec);
}

// ---- Groups -------------------------------------------------------------------------------------

#define GROUP(command, more) "{'command':'" command "','groupname':'g'" more "}"

Test(dynsec, groups_are_created_changed_and_deleted)
{
    struct dynsec *dynsec = fresh();
    DOES("{'command':'createRole','rolename':'r'}");
    DOES("{'command':'createClient','username':'c1'}");
    DOES("{'command':'createClient','username':'c2'}");
    FAILS("{'command':'createGroup'}", "Invalid/missing groupname");
    FAILS("{'command':'createGroup','groupname':''}", "Empty groupname");
    FAILS(GROUP("createGroup", ",'textname':3"), "Invalid/missing textname");
    FAILS(GROUP("createGroup", ",'textdescription':3"), "Invalid/missing textdescription");
    FAILS(GROUP("createGroup", ",'roles':[{'rolename':'q'}]"), "Role not found");
    DOES(GROUP("createGroup", ",'textname':'T','textdescription':'D','roles':[{'rolename':'r',"
                              "'priority':2}]"));
    FAILS(GROUP("createGroup", ""), "Group already exists");
    SAYS(GROUP("getGroup", ""),
         "{'command':'getGroup','data':{'group':{'groupname':'g','textname':'T',"
         "'textdescription':'D','clients':[],'roles':[{'rolename':'r','priority':2}]}}}");
    FAILS("{'command':'getGroup'}", "Invalid/missing groupname");
    FAILS("{'command':'getGroup','groupname':'q'}", "Group not found");
    FAILS("{'command':'modifyGroup','groupname':'q'}", "Group not found");
    FAILS(GROUP("modifyGroup", ",'roles':[3]"), "'roles' not an array or missing/invalid rolename");
    FAILS(GROUP("modifyGroup", ",'clients':3"), "'clients' not an array");
    FAILS(GROUP("modifyGroup", ",'clients':[{'q':1}]"),
          "'clients' contains an object with an invalid 'username'");
    FAILS(GROUP("modifyGroup", ",'clients':[{'username':'c1'},{'username':'q'}]"),
          "'clients' contains an object with a 'username' that does not exist");
    DOES(GROUP("modifyGroup", ",'textname':'','roles':[{'rolename':'r','priority':-1}],"
                              "'clients':[{'username':'c2','priority':3},{'username':'c1'},"
                              "{'username':'c2'}]"));
    SAYS("{'command':'listGroups','verbose':true}",
         "{'command':'listGroups','data':{'totalCount':1,'groups':[{'groupname':'g','textname':'',"
         "'textdescription':'D','clients':[{'username':'c1'},{'username':'c2'}],"
         "'roles':[{'rolename':'r'}]}]}}");
    SAYS("{'command':'getClient','username':'c2'}",
         "{'command':'getClient','data':{'client':{'username':'c2','roles':[],'groups':["
         "{'groupname':'g','priority':3}]}}}");
    DOES(GROUP("modifyGroup", ",'clients':[{'username':'c1'}]"));
    SAYS("{'command':'getClient','username':'c2'}",
         "{'command':'getClient','data':{'client':{'username':'c2','roles':[],'groups':[]}}}");
    FAILS("{'command':'deleteGroup'}", "Invalid/missing groupname");
    FAILS("{'command':'deleteGroup','groupname':'q'}", "Group not found");
    DOES(GROUP("deleteGroup", ""));
    SAYS("{'command':'getClient','username':'c1'}",
         "{'command':'getClient','data':{'client':{'username':'c1','roles':[],'groups':[]}}}");
    SAYS("{'command':'listGroups'}",
         "{'command':'listGroups','data':{'totalCount':0,'groups':[]}}");
    dynsec_free(dynsec);
}

Test(dynsec, clients_and_roles_of_groups)
{
    struct dynsec *dynsec = fresh();
    DOES("{'command':'createRole','rolename':'r'}");
    DOES(GROUP("createGroup", ""));
    DOES("{'command':'createGroup','groupname':'f'}");
    DOES("{'command':'createClient','username':'c'}");
    FAILS("{'command':'addGroupClient'}", "Invalid/missing username");
    FAILS(GROUP("addGroupClient", ""), "Invalid/missing username");
    FAILS("{'command':'addGroupClient','username':'c'}", "Invalid/missing groupname");
    FAILS(GROUP("addGroupClient", ",'username':'q'"), "Client not found");
    FAILS("{'command':'addGroupClient','username':'c','groupname':'q'}", "Group not found");
    DOES(GROUP("addGroupClient", ",'username':'c','priority':9"));
    FAILS(GROUP("addGroupClient", ",'username':'c'"), "Client is already in this group");
    DOES("{'command':'addGroupClient','username':'c','groupname':'f'}");
    SAYS("{'command':'getClient','username':'c'}",
         "{'command':'getClient','data':{'client':{'username':'c','roles':[],'groups':["
         "{'groupname':'g','priority':9},{'groupname':'f'}]}}}");
    FAILS(GROUP("removeGroupClient", ",'username':'q'"), "Client not found");
    FAILS("{'command':'removeGroupClient','username':'c','groupname':'q'}", "Group not found");
    DOES(GROUP("removeGroupClient", ",'username':'c'"));
    DOES(GROUP("removeGroupClient", ",'username':'c'"));
    FAILS("{'command':'addGroupRole'}", "Invalid/missing groupname");
    FAILS(GROUP("addGroupRole", ""), "Invalid/missing rolename");
    FAILS(GROUP("addGroupRole", ",'rolename':'q'"), "Role not found");
    FAILS("{'command':'addGroupRole','groupname':'q','rolename':'r'}", "Group not found");
    DOES(GROUP("addGroupRole", ",'rolename':'r','priority':3"));
    FAILS(GROUP("addGroupRole", ",'rolename':'r'"), "Group is already in this role");
    SAYS(GROUP("getGroup", ""),
         "{'command':'getGroup','data':{'group':{'groupname':'g','clients':[],'roles':["
         "{'rolename':'r','priority':3}]}}}");
    FAILS(GROUP("removeGroupRole", ",'rolename':'q'"), "Role not found");
    FAILS("{'command':'removeGroupRole','groupname':'q','rolename':'r'}", "Group not found");
    DOES(GROUP("removeGroupRole", ",'rolename':'r'"));
    DOES(GROUP("removeGroupRole", ",'rolename':'r'"));
    SAYS(GROUP("getGroup", ""),
         "{'command':'getGroup','data':{'group':{'groupname':'g','clients':[],'roles':[]}}}");
    dynsec_free(dynsec);
}

Test(dynsec, the_anonymous_group)
{
    struct dynsec *dynsec = fresh();
    DOES(GROUP("createGroup", ""));
    SAYS("{'command':'getAnonymousGroup','correlationData':'v'}",
         "{'command':'getAnonymousGroup','data':{'group':{'groupname':''}},'correlationData':'v'}");
    FAILS("{'command':'setAnonymousGroup'}", "Invalid/missing groupname");
    FAILS("{'command':'setAnonymousGroup','groupname':'q'}", "Group not found");
    DOES(GROUP("setAnonymousGroup", ""));
    SAYS("{'command':'getAnonymousGroup'}",
         "{'command':'getAnonymousGroup','data':{'group':{'groupname':'g'}}}");
    FAILS(GROUP("deleteGroup", ""), "Deleting the anonymous group is forbidden");
    DOES("{'command':'createGroup','groupname':'h'}");
    DOES("{'command':'setAnonymousGroup','groupname':'h'}");
    DOES(GROUP("deleteGroup", ""));
    dynsec_free(dynsec);
}

// ---- Roles --------------------------------------------------------------------------------------

#define ROLE(command, more) "{'command':'" command "','rolename':'r'" more "}"

Test(dynsec, roles_are_created_changed_and_deleted)
{
    struct dynsec *dynsec = fresh();
    FAILS("{'command':'createRole'}", "Invalid/missing rolename");
    FAILS("{'command':'createRole','rolename':''}", "Empty rolename");
    FAILS(ROLE("createRole", ",'textname':3"), "Invalid/missing textname");
    FAILS(ROLE("createRole", ",'textdescription':3"), "Invalid/missing textdescription");
    // What is no ACL is left out; the highest priority comes first, then the one that came first.
    DOES(ROLE("createRole",
              ",'textname':'T','textdescription':'D','acls':["
              "{'acltype':'publishClientSend','topic':'a/+/#','priority':3,'allow':true},"
              "{'acltype':'PUBLISHclientsend','topic':'b'},{'acltype':'x','topic':'b'},"
              "{'topic':'b'},{'acltype':'subscribeLiteral'},3,"
              "{'acltype':'subscribeLiteral','topic':'a/#/b','allow':1},"
              "{'acltype':'publishClientSend','topic':'p7','priority':7},"
              "{'acltype':'publishClientSend','topic':'0a','priority':0}]"));
    SAYS(ROLE("getRole", ""),
         "{'command':'getRole','data':{'role':{'rolename':'r','textname':'T',"
         "'textdescription':'D','acls':["
         "{'acltype':'publishClientSend','topic':'p7','priority':7,'allow':false},"
         "{'acltype':'publishClientSend','topic':'a/+/#','priority':3,'allow':true},"
         "{'acltype':'publishClientSend','topic':'b','priority':0,'allow':false},"
         "{'acltype':'publishClientSend','topic':'0a','priority':0,'allow':false},"
         "{'acltype':'subscribeLiteral','topic':'a/#/b','priority':0,'allow':false}]}}}");
    FAILS(ROLE("createRole", ""), "Role already exists");
    FAILS("{'command':'getRole'}", "Invalid/missing rolename");
    FAILS("{'command':'getRole','rolename':'q'}", "Role not found");
    FAILS("{'command':'modifyRole'}", "Invalid/missing rolename");
    FAILS("{'command':'modifyRole','rolename':'q'}", "Role does not exist");
    DOES(ROLE("modifyRole", ",'textname':'tt','acls':3"));
    DOES(ROLE("modifyRole", ",'acls':[{'acltype':'publishClientSend','topic':'z','allow':true}]"));
    SAYS(ROLE("getRole", ""),
         "{'command':'getRole','data':{'role':{'rolename':'r','textname':'tt',"
         "'textdescription':'D','acls':[{'acltype':'publishClientSend','topic':'z','priority':0,"
         "'allow':true}]}}}");
    DOES(ROLE("modifyRole", ",'acls':[]"));
    SAYS("{'command':'listRoles','verbose':true}",
         "{'command':'listRoles','data':{'totalCount':1,'roles':[{'rolename':'r','textname':'tt',"
         "'textdescription':'D','acls':[]}]}}");
    FAILS("{'command':'deleteRole'}", "Invalid/missing rolename");
    FAILS("{'command':'deleteRole','rolename':'q'}", "Role not found");
    DOES(ROLE("deleteRole", ""));
    FAILS(ROLE("getRole", ""), "Role not found");
    dynsec_free(dynsec);
}

Test(dynsec, acls_of_roles)
{
    struct dynsec *dynsec = fresh();
    DOES(ROLE("createRole", ""));
    FAILS("{'command':'addRoleACL'}", "Invalid/missing rolename");
    FAILS("{'command':'addRoleACL','rolename':'q'}", "Role not found");
    FAILS(ROLE("addRoleACL", ""), "Invalid/missing acltype");
    FAILS(ROLE("addRoleACL", ",'acltype':'q'"), "Unknown acltype");
#define ACL(command, more) ROLE(command, ",'acltype':'subscribePattern'" more)
    FAILS(ACL("addRoleACL", ""), "Invalid/missing topic");
    FAILS(ACL("addRoleACL", ",'topic':3"), "Invalid/missing topic");
    FAILS(ACL("addRoleACL", ",'topic':''"), "Invalid ACL topic");
    FAILS(ACL("addRoleACL", ",'topic':'a/#/b'"), "Invalid ACL topic");
    FAILS(ACL("addRoleACL", ",'topic':'a+/b'"), "Invalid ACL topic");
    FAILS(ACL("addRoleACL", ",'topic':'a\\n'"), "Topic not valid UTF-8");
    DOES(ACL("addRoleACL", ",'topic':'x/#','allow':true,'priority':4"));
    FAILS(ACL("addRoleACL", ",'topic':'x/#','allow':false"), "ACL with this topic already exists");
    DOES(ACL("addRoleACL", ",'topic':'y/#','allow':'true','priority':'3'"));
    DOES(ROLE("addRoleACL", ",'acltype':'unsubscribeLiteral','topic':'y/#','allow':true,"
                            "'priority':2.7"));
    DOES(ROLE("addRoleACL", ",'acltype':'unsubscribePattern','topic':'z','priority':1e12"));
    SAYS(ROLE("getRole", ""),
         "{'command':'getRole','data':{'role':{'rolename':'r','acls':["
         "{'acltype':'subscribePattern','topic':'x/#','priority':4,'allow':true},"
         "{'acltype':'subscribePattern','topic':'y/#','priority':0,'allow':false},"
         "{'acltype':'unsubscribeLiteral','topic':'y/#','priority':2,'allow':true},"
         "{'acltype':'unsubscribePattern','topic':'z','priority':2147483647,'allow':false}]}}}");
    FAILS("{'command':'removeRoleACL'}", "Invalid/missing rolename");
    FAILS("{'command':'removeRoleACL','rolename':'q'}", "Role not found");
    FAILS(ROLE("removeRoleACL", ""), "Invalid/missing acltype");
    FAILS(ROLE("removeRoleACL", ",'acltype':'q'"), "Unknown acltype");
    FAILS(ACL("removeRoleACL", ""), "Invalid/missing topic");
    FAILS(ACL("removeRoleACL", ",'topic':'q'"), "ACL not found");
    DOES(ACL("removeRoleACL", ",'topic':'x/#'"));
    FAILS(ACL("removeRoleACL", ",'topic':'x/#'"), "ACL not found");
    dynsec_free(dynsec);
}

Test(dynsec, default_access)
{
    struct dynsec *dynsec = fresh();
    FAILS("{'command':'setDefaultACLAccess'}", "Missing/invalid actions array");
    FAILS("{'command':'setDefaultACLAccess','acls':3}", "Missing/invalid actions array");
#define DEFAULTS(send, receive, subscribe, unsubscribe)       \
    "{'command':'getDefaultACLAccess','data':{'acls':["       \
    "{'acltype':'publishClientSend','allow':" send "},"       \
    "{'acltype':'publishClientReceive','allow':" receive "}," \
    "{'acltype':'subscribe','allow':" subscribe "},"          \
    "{'acltype':'unsubscribe','allow':" unsubscribe "}]}}"
    SAYS("{'command':'getDefaultACLAccess'}", DEFAULTS("false", "false", "false", "false"));
    DOES("{'command':'setDefaultACLAccess','acls':[{'acltype':'publishClientSend','allow':true},"
         "{'acltype':'subscribe','allow':true},3,{'acltype':'q','allow':true}]}");
    SAYS("{'command':'getDefaultACLAccess'}", DEFAULTS("true", "false", "true", "false"));
    DOES("{'command':'setDefaultACLAccess','acls':[{'acltype':'publishClientSend','allow':false},"
         "{'acltype':'publishClientReceive','allow':true},{'acltype':'subscribe','allow':3},"
         "{'acltype':'unsubscribe','allow':true}]}");
    SAYS("{'command':'getDefaultACLAccess'}", DEFAULTS("false", "true", "true", "true"));
    dynsec_free(dynsec);
}

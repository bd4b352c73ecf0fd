# install.cmake - configuration and systemd unit. Run by cmake --install, which alone knows the prefix.
#
# deploy, work and bin are set: this folder, one for files in between, and where programs are below the prefix.
set(etc ${CMAKE_INSTALL_PREFIX}/etc)
if(CMAKE_INSTALL_PREFIX STREQUAL /usr)
    set(etc /etc)
endif()

# A configuration that is there stays: it is its owner's.
if(NOT EXISTS $ENV{DESTDIR}${etc}/ternmq/ternmq.conf)
    file(INSTALL ${deploy}/ternmq.conf DESTINATION ${etc}/ternmq)
endif()

file(READ ${deploy}/ternmq.service unit)
string(REPLACE /usr/bin/ ${CMAKE_INSTALL_PREFIX}/${bin}/ unit "${unit}")
string(REPLACE /etc/ternmq/ ${etc}/ternmq/ unit "${unit}")
file(WRITE ${work}/ternmq.service "${unit}")
file(INSTALL ${work}/ternmq.service DESTINATION ${CMAKE_INSTALL_PREFIX}/lib/systemd/system)

# package.cmake - manual pages; what is installed, and where; the Debian package (cpack -G DEB). For CMakeLists.txt.
include(GNUInstallDirs)
set(programs ternmq ternmqctl ternmq-passwd ternmq-bench)
set(deploy ${CMAKE_SOURCE_DIR}/deploy)

# ---- Manual pages: prose of deploy/man, with what the programs print of their options and keys ----
if(TERN_PROFILE MATCHES "^(release|dev)$")
    foreach(page ternmq.8 ternmq.conf.5 ternmqctl.1 ternmq-passwd.1 ternmq-bench.1)
        set(made ${CMAKE_BINARY_DIR}/man/${page})
        string(REGEX MATCH "[0-9]$" section ${page})
        add_custom_command(OUTPUT ${made}.gz
            COMMAND ${CMAKE_COMMAND} -E make_directory ${CMAKE_BINARY_DIR}/man
            COMMAND ${CMAKE_COMMAND} -E env "PATH=${CMAKE_BINARY_DIR}:$ENV{PATH}" awk -v version=${PROJECT_VERSION}
                -f ${deploy}/man/page.awk ${deploy}/man/${page}.in > ${made}
            COMMAND gzip -9nf ${made}
            DEPENDS ${deploy}/man/page.awk ${deploy}/man/${page}.in ${programs} VERBATIM)
        list(APPEND pages ${made}.gz)
        install(FILES ${made}.gz DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section})
    endforeach()
    add_custom_target(manual ALL DEPENDS ${pages})
endif()

# ---- cmake --install ----
set(CMAKE_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE
    WORLD_READ WORLD_EXECUTE)
install(TARGETS ${programs} RUNTIME)
install(FILES README.md ${deploy}/debian/copyright DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES ${deploy}/completion/ternmqctl.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions
    RENAME ternmqctl)
install(CODE "set(deploy ${deploy})\nset(work ${CMAKE_BINARY_DIR})\nset(bin ${CMAKE_INSTALL_BINDIR})")
install(SCRIPT deploy/install.cmake)

# ---- cpack -G DEB ----
set(changelog ${CMAKE_BINARY_DIR}/changelog)
configure_file(${deploy}/debian/changelog.in ${changelog} @ONLY)
add_custom_command(OUTPUT ${changelog}.gz COMMAND gzip -9nkf ${changelog} DEPENDS ${changelog} VERBATIM)
add_custom_target(changelog ALL DEPENDS ${changelog}.gz)
install(FILES ${changelog}.gz DESTINATION ${CMAKE_INSTALL_DOCDIR})

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME ternmq)
set(CPACK_PACKAGE_CONTACT "The TernMQ authors <ternmq@example.org>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "multi-threaded MQTT broker and cluster node")
set(CPACK_PACKAGE_DESCRIPTION "TernMQ serves MQTT 3.1, 3.1.1 and 5.0 over TCP, TLS and
WebSockets, on several CPUs by io_uring. What it acknowledges is on the
disk. Several nodes are one broker. Its configuration has the grammar
and most of the keys of mosquitto.conf.")
set(CPACK_STRIP_FILES ON)
set(CPACK_SET_DESTDIR ON) # so that install.cmake sees the prefix that the package will have
set(CPACK_INSTALL_PREFIX /usr)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DEPENDS adduser)
set(CPACK_DEBIAN_PACKAGE_SUGGESTS mosquitto-clients)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${deploy}/debian/conffiles ${deploy}/debian/postinst ${deploy}/debian/prerm
    ${deploy}/debian/postrm)
include(CPack)

# What "cmake --install" puts in place, and the Debian package that "ninja package" makes of it.
include(GNUInstallDirs)
# Libraries from outside the system's folders (a Spack prefix) are found by the installed program too.
set_target_properties(tokenwerk PROPERTIES INSTALL_RPATH_USE_LINK_PATH ON)

file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/share)
# Manual pages and completions are what the program itself says.
if(NOT CMAKE_CROSSCOMPILING)
  set(words "man | gzip -9n > tokenwerk.1.gz" "man run | gzip -9n > tokenwerk-run.1.gz"
            "man supervise | gzip -9n > tokenwerk-supervise.1.gz" "man settings | gzip -9n > tokenwerk-settings.5.gz" "completions bash > tokenwerk" "completions zsh > _tokenwerk"
            "completions fish > tokenwerk.fish")
  set(spoken)
  set(commands)
  foreach(line IN LISTS words)
    string(REGEX REPLACE ".* > " "" file "${line}")
    list(APPEND spoken ${CMAKE_BINARY_DIR}/share/${file})
    list(APPEND commands COMMAND sh -c "'$<TARGET_FILE:tokenwerk>' ${line}")
  endforeach()
  add_custom_command(OUTPUT ${spoken} ${commands} DEPENDS tokenwerk WORKING_DIRECTORY ${CMAKE_BINARY_DIR}/share
                     COMMENT "Manual pages and completions" VERBATIM)
  add_custom_target(manual ALL DEPENDS ${spoken})
  install(FILES ${CMAKE_BINARY_DIR}/share/tokenwerk.1.gz ${CMAKE_BINARY_DIR}/share/tokenwerk-run.1.gz
          ${CMAKE_BINARY_DIR}/share/tokenwerk-supervise.1.gz DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
  install(FILES ${CMAKE_BINARY_DIR}/share/tokenwerk-settings.5.gz DESTINATION ${CMAKE_INSTALL_MANDIR}/man5)
  install(FILES ${CMAKE_BINARY_DIR}/share/tokenwerk DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
  install(FILES ${CMAKE_BINARY_DIR}/share/_tokenwerk DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions)
  install(FILES ${CMAKE_BINARY_DIR}/share/tokenwerk.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
endif()

install(TARGETS tokenwerk)
install(PROGRAMS launch/run DESTINATION ${CMAKE_INSTALL_BINDIR} RENAME tokenwerk-run)
install(PROGRAMS launch/supervise DESTINATION ${CMAKE_INSTALL_BINDIR} RENAME tokenwerk-supervise)
install(DIRECTORY configs DESTINATION ${CMAKE_INSTALL_DATADIR}/tokenwerk)
install(DIRECTORY launch/slurm DESTINATION ${CMAKE_INSTALL_DATADIR}/tokenwerk USE_SOURCE_PERMISSIONS)
install(DIRECTORY docs/ DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES README.md SECURITY.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES launch/debian/copyright DESTINATION ${CMAKE_INSTALL_DOCDIR})
add_custom_command(OUTPUT ${CMAKE_BINARY_DIR}/share/changelog.gz COMMAND sh -c "gzip -9nc '${CMAKE_SOURCE_DIR}/launch/debian/changelog' > changelog.gz"
                   DEPENDS launch/debian/changelog WORKING_DIRECTORY ${CMAKE_BINARY_DIR}/share VERBATIM)
add_custom_target(changelog ALL DEPENDS ${CMAKE_BINARY_DIR}/share/changelog.gz)
install(FILES ${CMAKE_BINARY_DIR}/share/changelog.gz DESTINATION ${CMAKE_INSTALL_DOCDIR})

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_CONTACT "Tokenwerk developers <developers@tokenwerk.invalid>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION}")
set(CPACK_PACKAGE_DESCRIPTION
    "Turns folders of documents into tokens, trains language models on the
tokens over MPI ranks, and turns tokens back into text. Measures joules per
token. Runs by config files and Slurm job scripts, without Python.")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DEPENDS "openmpi-bin")
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "poppler-utils, ffmpeg")
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "slurm-client")
include(CPack)

# Builds librmw_hazcat_rs.so and the command `hazcat` with cargo, release by default, installs both and exports the library.
#
# Out: HAZCAT_LIBRARY (path of the built library), HAZCAT_CARGO_TARGET_DIR, and the
# targets `rmw_hazcat_rs_headers` (the rmw interface, and our own headers) and `rmw_hazcat_rs_library` (the same, and the library to link).
if(CMAKE_BUILD_TYPE STREQUAL "Debug")
  set(_profile dev)
  set(_profile_folder debug)
else()
  set(_profile release)
  set(_profile_folder release)
endif()
set(HAZCAT_CARGO_TARGET_DIR ${CMAKE_CURRENT_BINARY_DIR}/cargo)
set(HAZCAT_LIBRARY ${HAZCAT_CARGO_TARGET_DIR}/${_profile_folder}/librmw_hazcat_rs.so)
set(_hazcat ${HAZCAT_CARGO_TARGET_DIR}/${_profile_folder}/hazcat)

# cargo itself knows what has changed, so it is asked at every build. Quiet: only warnings and errors reach stderr,
# which is what colcon shows. make's job server is not handed on, since it does not reach into a custom command; nor is another
# target than this machine, for which cargo would build into another folder.
set(_clean
  ${CMAKE_COMMAND} -E env --unset=MAKEFLAGS --unset=MFLAGS --unset=CARGO_BUILD_TARGET
    "AMENT_PREFIX_PATH=${HAZCAT_AMENT_PREFIX_PATH}" "CMAKE_PREFIX_PATH=${HAZCAT_CMAKE_PREFIX_PATH}")
add_custom_target(rmw_hazcat_rs_cargo ALL
  COMMAND ${_clean} "CARGO_TARGET_DIR=${HAZCAT_CARGO_TARGET_DIR}"
    ${HAZCAT_CARGO} build --quiet --locked --package rmw_hazcat_rs --lib --profile ${_profile}
  COMMAND ${_clean} "CARGO_TARGET_DIR=${HAZCAT_CARGO_TARGET_DIR}"
    ${HAZCAT_CARGO} build --quiet --locked --package hazcat --bin hazcat --profile ${_profile}
  BYPRODUCTS ${HAZCAT_LIBRARY} ${_hazcat}
  WORKING_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR}
  COMMENT "cargo build (${_profile})"
  USES_TERMINAL VERBATIM)
install(PROGRAMS ${HAZCAT_LIBRARY} DESTINATION lib)  # executable, as linkers make libraries
# Where `ros2 run` looks, and where a shell does.
install(PROGRAMS ${_hazcat} DESTINATION lib/${PROJECT_NAME})
install(PROGRAMS ${_hazcat} DESTINATION bin)

# What applications include to choose the memory of their endpoints, in C and with rclcpp.
set(_own_headers ${CMAKE_CURRENT_SOURCE_DIR}/rmw_hazcat_rs/include)
install(DIRECTORY ${_own_headers}/rmw_hazcat_rs DESTINATION include/${PROJECT_NAME})

# Where no ROS 2 is sourced, our declaration of the rmw interface stands in for the headers of `rmw`.
add_library(rmw_hazcat_rs_library INTERFACE)
add_dependencies(rmw_hazcat_rs_library rmw_hazcat_rs_cargo)
target_link_libraries(rmw_hazcat_rs_library INTERFACE
  $<BUILD_INTERFACE:${HAZCAT_LIBRARY}>
  $<INSTALL_INTERFACE:$<INSTALL_PREFIX>/lib/librmw_hazcat_rs.so>)
# An application links these, and not the library: an executable that links an implementation of rmw uses it whatever
# RMW_IMPLEMENTATION says.
add_library(rmw_hazcat_rs_headers INTERFACE)
target_include_directories(rmw_hazcat_rs_headers INTERFACE
  $<BUILD_INTERFACE:${_own_headers}>
  $<INSTALL_INTERFACE:include/${PROJECT_NAME}>)
target_link_libraries(rmw_hazcat_rs_headers INTERFACE ${CMAKE_DL_LIBS})
if(HAZCAT_ROS)
  target_link_libraries(rmw_hazcat_rs_headers INTERFACE rmw::rmw)
else()
  target_include_directories(rmw_hazcat_rs_headers INTERFACE
    $<BUILD_INTERFACE:${CMAKE_CURRENT_SOURCE_DIR}/rmw_hazcat_rs/include/humble>
    $<INSTALL_INTERFACE:include/rmw_hazcat_rs/humble>)
  target_link_libraries(rmw_hazcat_rs_headers INTERFACE rcutils::rcutils rosidl_runtime_c::rosidl_runtime_c)
  install(DIRECTORY rmw_hazcat_rs/include/humble DESTINATION include/rmw_hazcat_rs)
endif()
target_link_libraries(rmw_hazcat_rs_library INTERFACE rmw_hazcat_rs_headers)
install(TARGETS rmw_hazcat_rs_library rmw_hazcat_rs_headers EXPORT export_${PROJECT_NAME})
ament_export_targets(export_${PROJECT_NAME})
ament_export_libraries(rmw_hazcat_rs)

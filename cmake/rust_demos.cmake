# The demo nodes written with the Rust client libraries rclrs and r2r: two cargo workspaces of their own, built where a
# ROS 2 is sourced. The package is complete without them, so where one cannot be built (no network for its crates, no
# libclang, ...) the build says why and goes on, unless HAZCAT_RUST_DEMOS=ON.
set(HAZCAT_RUST_DEMOS AUTO CACHE STRING "demo nodes with rclrs and r2r: AUTO, ON (must build) or OFF")
set_property(CACHE HAZCAT_RUST_DEMOS PROPERTY STRINGS AUTO ON OFF)
# <crate>/not_built.txt says there why a crate's demos are missing; the tests that skip them read it.
set(HAZCAT_RUST_DEMOS_DIR ${CMAKE_CURRENT_BINARY_DIR}/rust_demos)

# Both crates want to know the distribution. Every installation says it, one built from source need not.
set(_distribution "$ENV{ROS_DISTRO}")
if(NOT _distribution)
  if(rmw_VERSION VERSION_LESS 7)
    set(_distribution humble)
  elseif(rmw_VERSION VERSION_LESS 7.4)
    set(_distribution jazzy)
  else()
    set(_distribution kilted)
  endif()
endif()

foreach(_crate IN ITEMS rclrs r2r)
  set(_base ${HAZCAT_RUST_DEMOS_DIR}/${_crate})
  set(_programs "")
  foreach(_role IN ITEMS talker listener loaned_talker loaned_listener server client)
    list(APPEND _programs ${_base}/cargo/release/${_crate}_${_role})
  endforeach()
  if(NOT HAZCAT_RUST_DEMOS)
    file(REMOVE ${_programs})
    file(WRITE ${_base}/not_built.txt "HAZCAT_RUST_DEMOS=OFF\n")
    continue()
  endif()

  add_custom_target(hazcat_${_crate}_demos ALL
    COMMAND ${CMAKE_COMMAND}
      "-DCRATE=${_crate}" "-DSOURCE=${CMAKE_CURRENT_SOURCE_DIR}/demos/${_crate}" "-DBASE=${_base}" "-DPROGRAMS=${_programs}"
      "-DREQUIRED=${HAZCAT_RUST_DEMOS}" "-DCARGO=${HAZCAT_CARGO}" "-DPYTHON=${Python3_EXECUTABLE}"
      "-DPREFIXES=${HAZCAT_AMENT_PREFIX_PATH}" "-DDISTRIBUTION=${_distribution}"
      -P ${CMAKE_CURRENT_SOURCE_DIR}/cmake/build_rust_demos.cmake
    COMMENT "demo nodes with ${_crate}"
    VERBATIM)
  # The middleware's own errors come first.
  add_dependencies(hazcat_${_crate}_demos rmw_hazcat_rs_cargo)
  install(PROGRAMS ${_programs} DESTINATION lib/${PROJECT_NAME} OPTIONAL)
endforeach()

# Chooses the Python that ament and rosidl run in.
#
# They need modules that the system's Python has and a pyenv, conda or virtual environment that comes first in PATH usually has not,
# or not all of them. The first of `python3` and `/usr/bin/python3` that can import them is taken, unless -DPython3_EXECUTABLE
# decides.
if(NOT Python3_EXECUTABLE)
  set(_modules "ament_package, catkin_pkg.package, em, lark")
  string(REPLACE ":" ";" _prefixes "$ENV{AMENT_PREFIX_PATH}")
  foreach(_prefix IN LISTS _prefixes)
    if(EXISTS "${_prefix}/share/rosidl_generator_py")  # Debian has no package of it
      string(APPEND _modules ", numpy")
      break()
    endif()
  endforeach()
  find_program(_hazcat_python3 python3)
  foreach(_candidate IN ITEMS "${_hazcat_python3}" /usr/bin/python3)
    execute_process(
      COMMAND "${_candidate}" -c "import ${_modules}"
      RESULT_VARIABLE _result OUTPUT_QUIET ERROR_QUIET)
    if(_result EQUAL 0)
      set(Python3_EXECUTABLE "${_candidate}" CACHE FILEPATH "Python for ament and rosidl")
      break()
    endif()
  endforeach()
  unset(_hazcat_python3 CACHE)  # another one may come first at the next try
endif()
find_package(Python3 REQUIRED COMPONENTS Interpreter)
# What older packages call it.
set(PYTHON_EXECUTABLE "${Python3_EXECUTABLE}" CACHE FILEPATH "Python for ament and rosidl")
message(STATUS "Python: ${Python3_EXECUTABLE}")
